"""Which jobs of a generated pipeline a platform would start: the conditions in its file, as that one documents them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.jenkins_build import Build
from tests.deploy.jenkinsfiles import Word, fits


@dataclass(frozen=True)
class Start:
    """What happened.

    Attributes:
        ref: The branch or tag, as ``refs/…``.
        changed: The paths that a push brought.
        since: The paths that differ from the commit of the last build that succeeded; None where none did.
        by_person: Whether a person started it, and not a push.
        again: Whether it is the same run once more.
        action: What the person chose.
    """

    ref: str
    changed: tuple[str, ...] = ()
    since: tuple[str, ...] | None = None
    by_person: bool = False
    again: bool = False
    action: str = "deploy"

    @property
    def is_tag(self) -> bool:
        """Whether a tag was pushed or chosen."""
        return self.ref.startswith("refs/tags/")

    @property
    def name(self) -> str:
        """The name of the branch or tag."""
        return re.sub("^refs/(heads|tags)/", "", self.ref)


def github(text: str, start: Start) -> set[str]:
    """Return the jobs that run (https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax)."""
    workflow = yaml.safe_load(text)
    on = workflow[True]  # YAML 1.1 reads "on" as true.
    if not (start.by_person or _pushed(on.get("push"), start)):
        return set()
    action = start.action if start.by_person else None
    given = {"github.ref": start.ref, "github.event_name": "push", "inputs.action": action}
    return {name for name, job in workflow["jobs"].items() if holds(job.get("if", "true"), given)}


def _pushed(on: Mapping[str, Any] | None, start: Start) -> bool:
    if on is None:
        return False
    wanted = on.get("tags" if start.is_tag else "branches", [])
    named = any(fits(pattern, start.name) for pattern in wanted)
    return named and ("paths" not in on or start.again or _touches(on["paths"], start.changed))


def _touches(patterns: Sequence[str], changed: Sequence[str]) -> bool:
    return any(fits(pattern, path) for pattern in patterns for path in changed)


def holds(condition: str, values: Mapping[str, Any]) -> bool:
    """Evaluate a job's condition, with the few operators and functions that ours have."""
    text = re.sub(r"startsWith\(([\w.]+), ('[^']*')\)", r"\1.startswith(\2)", condition)
    text = re.sub(r"endsWith\(([\w.]+), ('[^']*')\)", r"\1.endswith(\2)", text)
    text = re.sub(r"contains\(([\w.]+), ('[^']*')\)", r"(\2 in \1)", text)
    text = re.sub(r"(github|inputs)(\.(?!startswith|endswith)\w+)+", lambda found: repr(values[found[0]]), text)
    return bool(eval(text.replace("&&", "and").replace("true", "True")))


def gitlab(text: str, start: Start) -> set[str]:
    """Return the jobs that are in the pipeline (https://docs.gitlab.com/ci/yaml/#rules)."""
    source = "web" if start.by_person else "push"
    known = {"CI_PIPELINE_SOURCE": source, "CI_COMMIT_TAG" if start.is_tag else "CI_COMMIT_BRANCH": start.name}
    jobs = yaml.safe_load(text)
    return {
        name.rpartition(" ")[2]
        for name, job in jobs.items()
        if not name.startswith(".") and any(_rule(rule, known, start) for rule in job["rules"])
    }


def _rule(rule: Mapping[str, Any], known: Mapping[str, str], start: Start) -> bool:
    parts = [re.fullmatch(r"\$(\w+) (==|=~) (.*)", part) for part in rule["if"].split(" && ")]
    for part in parts:
        assert part is not None
        value, wanted = known.get(part[1]), part[3]
        matched = re.search(wanted.strip("/"), value or "") is not None
        if not (value == wanted.strip('"') if part[2] == "==" else matched):
            return False
    return "changes" not in rule or start.again or _touches(rule["changes"], start.changed)


def jenkins(pipeline: Word, start: Start) -> set[str]:
    """Return the stages that run, ``Roll back`` as ``rollback``; which others only look is not told."""
    job = ("tag" if start.is_tag else "branch", start.name)
    parameters = {"ACTION": start.action, "RELEASE": ""}
    build = _Build(job, start.by_person or start.again, parameters, start=start)
    build.run(pipeline)
    return {name.lower().replace(" ", "") for name in build.ran} - {"changes"}


@dataclass
class _Build(Build):
    """A build whose files are only names."""

    start: Start = field(kw_only=True)

    def checkout(self) -> Mapping[str, str]:
        return {} if self.start.since is None else {"GIT_PREVIOUS_SUCCESSFUL_COMMIT": "c0ffee"}

    def status(self, script: str) -> int:
        words = shlex.split(script.replace("$DEPLOYED", self.variables["DEPLOYED"]).strip().splitlines()[-1])
        assert words[:3] == ["git", "diff", "--quiet"]
        assert words[4:6] == ["HEAD", "--"]
        if not words[3]:
            return 128
        watched = [Path(one) for one in words[6:]]
        return int(any(Path(path).is_relative_to(one) for path in self.start.since or () for one in watched))

    def work(self, stage: Word, steps: Sequence[Word]) -> bool:
        return True
