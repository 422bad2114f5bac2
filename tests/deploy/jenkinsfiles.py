"""Jenkinsfiles as Groovy's own parser reads them, and what is wrong with one.

Jenkins validates a declarative pipeline on its server only. The rules here are those of its documentation: which
section or directive may stand where, how often, and with what (https://www.jenkins.io/doc/book/pipeline/syntax/).
"""

from __future__ import annotations

import functools
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests import needs
from tests.node_programs import installed

#: One word of a pipeline: its name, what it is given, and what stands in its braces.
Word = dict[str, Any]

_WORK = {"steps", "stages", "parallel", "matrix"}
_EVERYWHERE = {"agent", "environment", "options", "post", "tools"}
#: By place: what may stand there.
_ALLOWED = {
    "pipeline": _EVERYWHERE | {"stages", "parameters", "triggers", "libraries"},
    "stage": _EVERYWHERE | _WORK | {"input", "when"},
    "options of pipeline": {
        "buildDiscarder", "checkoutToSubdirectory", "disableConcurrentBuilds", "disableResume", "newContainerPerStage",
        "overrideIndexTriggers", "parallelsAlwaysFailFast", "preserveStashes", "quietPeriod", "retry",
        "skipDefaultCheckout", "skipStagesAfterUnstable", "timeout", "timestamps",
    },
    "options of stage": {"retry", "skipDefaultCheckout", "timeout", "timestamps"},
    "parameters": {"booleanParam", "choice", "password", "string", "text"},
    "input": {"message", "id", "ok", "submitter", "submitterParameter", "parameters"},
    "when": {
        "allOf", "anyOf", "beforeAgent", "beforeInput", "beforeOptions", "branch", "buildingTag", "changeRequest",
        "changelog", "changeset", "environment", "equals", "expression", "not", "tag", "triggeredBy",
    },
    "agent": {"docker", "dockerfile", "kubernetes", "label", "node"},
    # Of all steps, those of the plugins that every Jenkins with pipelines has, as far as ours use them.
    "steps": {"checkout", "deleteDir", "script", "sh", "withCredentials"},
}  # fmt: skip
_NEEDED = {"pipeline": {"agent", "stages"}, "input": {"message"}}
_SEVERAL = {"parameters", "steps", "when"}


@functools.cache
def read(*texts: str) -> list[list[Word]]:
    """Return the words of each text; of one that is not Groovy, or no declarative pipeline, the ``error``."""
    needs.programs("java")
    library = installed("groovy-lint", "npm-groovy-lint/lib/java/groovy/lib")
    # One start of Java for all: it takes longer than any text.
    java = ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{library}/*", "groovy.ui.GroovyMain"]
    reader = Path(__file__).with_name("jenkinsfile.groovy")
    done = subprocess.run([*java, reader], input=json.dumps(texts), check=True, stdout=subprocess.PIPE, text=True)
    found: list[list[Word]] = json.loads(done.stdout)
    return found


def within(word: Word, name: str) -> list[Word]:
    """Return what stands in the braces of the one word of that name inside another; nothing where there is none."""
    return [inner for one in word["inside"] if one.get("name") == name for inner in one["inside"] or []]


def problems(words: Sequence[Word]) -> list[str]:
    """Return what Jenkins would refuse."""
    if [word.get("name") for word in words] != ["pipeline"]:
        return [str(word["error"]) for word in words if "error" in word] or [
            "a file has one pipeline and nothing beside it"
        ]
    (pipeline,) = words
    stages = within(pipeline, "stages")
    names = Counter(str(stage["given"]) for stage in stages)
    found = [*_block(pipeline, "pipeline"), *(f"two stages {name}" for name, count in names.items() if count > 1)]
    found += [] if stages else ["no stage"]
    runs_nowhere = any(one["name"] == "agent" and one["given"] == [{"variable": "none"}] for one in pipeline["inside"])
    for stage in stages:
        found += _stage(stage, needs_agent=runs_nowhere)
    return found


def _stage(stage: Word, *, needs_agent: bool) -> Iterator[str]:
    if stage.get("name") != "stage" or not _is_text(stage["given"]):
        yield f"line {stage['line']}: no stage with a name"
        return
    yield from _block(stage, "stage")
    has = {one.get("name") for one in stage["inside"]}
    if len(has & _WORK) != 1:
        yield f"{stage['given']}: one of {sorted(_WORK)} is needed"
    if needs_agent and "agent" not in has:
        yield f"{stage['given']}: no agent, and the pipeline has none"


def _block(block: Word, place: str) -> Iterator[str]:
    """Yield what may not stand in a block, and what is wrong further inside."""
    inside = block["inside"] or []
    if not inside:
        yield f"line {block['line']}: {place} is empty"
    names = [str(one.get("name")) for one in inside]
    yield from (f"{place}: no {name}" for name in sorted(_NEEDED.get(place, set()) - set(names)))
    for name, count in Counter(names).items():
        if name not in _ALLOWED[place]:
            yield f"{place}: {name!r} may not stand there"
        elif count > 1 and place not in _SEVERAL:
            yield f"{place}: {name!r} stands there {count} times"
    for one in inside:
        yield from _word(one, place)


def _word(word: Word, place: str) -> Iterator[str]:
    name = str(word.get("name"))
    if name == "environment" and place != "when":
        yield from _environment(word)
    elif name == "options":
        yield from _block(word, f"options of {place}")
    elif name == "agent":
        fixed = word["given"] in ([{"variable": "any"}], [{"variable": "none"}]) and word["inside"] is None
        yield from [] if fixed else _block(word, "agent")
    elif name == "script":
        yield from [] if word["inside"] else [f"line {word['line']}: an empty script"]
    elif name in {"parameters", "input", "when", "steps"}:
        yield from _block(word, name)
    elif place == "when":
        yield from _condition(word)
    elif place == "parameters":
        named = [one for one in word["given"] if isinstance(one, dict) and _is_text([one.get("name")])]
        yield from [] if len(named) == 1 else [f"line {word['line']}: a parameter without a name"]
    elif place == "input" or name == "sh":
        yield from [] if _is_text(word["given"]) else [f"line {word['line']}: {name} takes one text"]


def _condition(word: Word) -> Iterator[str]:
    name, given, inside = word["name"], word["given"], word["inside"]
    if name in {"allOf", "anyOf", "not"}:
        yield from _block(word, "when")
        if name == "not" and len(inside or []) != 1:
            yield f"line {word['line']}: not takes one condition"
    elif name.startswith("before"):
        yield from [] if given in ([True], [False]) else [f"line {word['line']}: {name} takes true or false"]
    elif name == "expression":
        yield from [] if inside else [f"line {word['line']}: expression takes a value in braces"]
    elif not given and inside is None and name not in {"buildingTag", "changeRequest"}:
        yield f"line {word['line']}: {name} takes a value"


def _environment(word: Word) -> Iterator[str]:
    for one in word["inside"] or []:
        value = one.get("value")
        secret = isinstance(value, dict) and value.get("name") == "credentials" and _is_text(value["given"])
        if not re.fullmatch(r"[A-Za-z_]\w*", str(one.get("set"))) or not (isinstance(value, str) or secret):
            yield f"line {one['line']}: no variable with a text or credentials"


def fits(pattern: str, name: str) -> bool:
    """Tell whether a name fits a pattern whose ``*`` is anything but a slash, and ``**`` anything."""
    parts = re.split(r"(\*\*/|\*\*|\*)", pattern)
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*"}
    return re.fullmatch("".join(meaning.get(part) or re.escape(part) for part in parts), name) is not None


def _is_text(given: list[Any]) -> bool:
    return len(given) == 1 and isinstance(given[0], str)
