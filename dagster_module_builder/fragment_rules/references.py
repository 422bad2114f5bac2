"""What a Compose fragment refers to by name anywhere: variables, and anchors that could be taken for others'.

Compose fills variables in from ``.env`` and from the shell of whoever starts the project
(https://github.com/compose-spec/compose-spec/blob/main/12-interpolation.md).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import yaml

from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.fragment_rules.owner import Owner
from dagster_module_builder.fragment_rules.refused import Refused, setting
from dagster_module_builder.shared_files.formats import compose, env_file, env_value
from dagster_module_builder.shared_files.formats.outline import Outline

_NAMED = re.compile(r"\$\$|\$\{?([A-Za-z_]\w*)")
_REFERENCE = re.compile(r"\$\$|\$\{(\w+)([^}]*)\}|\$(\w+)")
_BARE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][\w.-]*)\s*(?:#.*)?")
_COMMENT = re.compile(r"\s*(?:#.*)?")
_SETS_VARIABLE = r"\s*(?:export\s+)?[\w.-]+\s*[=:]\s*"
#: A comment, or a value in single quotes, which stays as it is.
_LITERAL = re.compile(rf"{_COMMENT.pattern}|{_SETS_VARIABLE}'[^'\\]*'{_COMMENT.pattern}")
#: A line that says all of what it sets.
_WHOLE = re.compile(rf"{_BARE.pattern}|{_LITERAL.pattern}|{_SETS_VARIABLE}(?:\"[^\"\\]*\"{_COMMENT.pattern}|[^'\"\\]*)")
_ESCAPE = re.compile(r'\\[^"]')

_ANCHOR = "is an anchor of the workspace's own lines, too, whose aliases could mean this one: give it another name"
_ANCHOR_FOR_CODE = "is an anchor among the workspace's own lines: write out what its aliases stand for"
_VARIABLE = "is not the module's variable, and may hold a secret of the workspace or of whoever starts it"
_SETS = "is a variable of the workspace's Compose file: give it another name, with the module's before it"


@dataclass(frozen=True)
class Surroundings:
    """What of the workspace a fragment could take, or take over.

    Attributes:
        anchors: The anchors in its own lines of the compose file.
        variables: The variables that its ``.env`` sets, those of other modules included.
        uses: The variables that its own lines of the compose file use.
    """

    anchors: Collection[str] = ()
    variables: Collection[str] = ()
    uses: Collection[str] = ()


NOTHING_AROUND = Surroundings()


def anchors_of(text: str) -> Iterator[tuple[str, int]]:
    """Yield the anchors of a YAML file, each with its line, counted from 1."""
    for line, event in _events(text):
        if not isinstance(event, yaml.AliasEvent) and event.anchor:
            yield event.anchor, line


def used_in(text: str) -> set[str]:
    """Return the variables that a Compose file names in its values."""
    return {match[1] for _, value in _scalars(text) for match in _NAMED.finditer(value) if match[1]}


def _scalars(text: str) -> Iterator[tuple[int, str]]:
    return ((line, event.value) for line, event in _events(text) if isinstance(event, yaml.ScalarEvent))


def _events(text: str) -> Iterator[tuple[int, yaml.NodeEvent]]:
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.NodeEvent):
            yield text.count("\n", 0, event.start_mark.index if event.start_mark else 0) + 1, event


def refused_anchors(outline: Outline, around: Surroundings) -> Iterator[Refused]:
    """Yield the anchors that aliases of others could mean, once they stand in the shared file."""
    if "&" not in outline.text:
        return
    code = outline.find((compose.CODE_KEY,))
    inside = range(code.line + 1, outline.last_line(code.value) + 2) if code else range(0)
    for name, line in anchors_of(outline.text):
        why = _ANCHOR if name in around.anchors else _ANCHOR_FOR_CODE if line in inside else ""
        if why:
            yield Refused(compose.NAME, line, "", setting("anchor", name), why)


def refused_variables(outline: Outline, owner: Owner, around: Surroundings) -> Iterator[Refused]:
    """Yield the variables that a fragment uses and that are others'.

    Args:
        outline: The Compose fragment.
        owner: The module.
        around: The workspace.
    """
    named = {name for name in _NAMED.findall(outline.text) if name and not owner.may_use(name)}
    # Most fragments name their own variables alone. An escape of YAML's could make a name that the text does not have.
    for line, value in _scalars(outline.text) if named or _ESCAPE.search(outline.text) else ():
        plain = set(_without_default(value))
        for name in dict.fromkeys(match[1] for match in _NAMED.finditer(value) if match[1]):
            # Another check says of a variable that nobody sets that it has to be set.
            is_unset = name in plain and name not in around.variables and not env_value.is_reserved(name)
            if not (owner.may_use(name) or is_unset):
                yield Refused(compose.NAME, line, "", setting("variable", name), _VARIABLE)


def _without_default(value: str) -> Iterator[str]:
    """Yield the variables that have to be set, as the check of unset variables sees them."""
    for match in _REFERENCE.finditer(value):
        if match[0] != "$$" and not (match[2] or "").lstrip(":").startswith(("-", "+")):
            yield match[1] or match[3]


def taken_by_env_file(text: bytes, *, raw: bool) -> Iterator[tuple[int, str]]:
    """Yield the variables that Compose fills in from elsewhere in a file of variables, with their lines from 1.

    A name without a value takes it from the shell; in values without single quotes, variables are replaced, unless the
    file is taken raw.
    """
    lines = [line.rstrip("\r") for line in text.decode("utf-8", "replace").split("\n")]
    # Where a value may go on over several lines, what looks like single quotes may stand in double ones.
    literal = _LITERAL if all(_WHOLE.fullmatch(line) for line in lines) else _COMMENT
    for number, line in enumerate(lines, 1):
        if name := _BARE.fullmatch(line):
            yield number, name[1]
        elif not raw and not literal.fullmatch(line):
            yield from ((number, match[1]) for match in _NAMED.finditer(line) if match[1])


def refused_settings_of_env(module: str, env: bytes, around: Surroundings) -> Iterator[Refused]:
    """Yield the variables that a module sets and that the workspace's own services take, which have a default there."""
    prefix = f"{ModuleNames(module).env_prefix}_"
    for entry in env_file.entries(env):
        if entry.name in around.uses and not entry.name.startswith(prefix):
            yield Refused(env_file.NAME, entry.line + 1, "", setting("variable", entry.name), _SETS)
