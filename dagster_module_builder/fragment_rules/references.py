"""Names in a Compose fragment that could be other owners': variables and anchors.

Compose takes variables from ``.env`` and from the shell that starts the project
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
#: A comment, or a value in single quotes, which Compose does not change.
_LITERAL = re.compile(rf"{_COMMENT.pattern}|{_SETS_VARIABLE}'[^'\\]*'{_COMMENT.pattern}")
#: A line with a complete setting.
_WHOLE = re.compile(rf"{_BARE.pattern}|{_LITERAL.pattern}|{_SETS_VARIABLE}(?:\"[^\"\\]*\"{_COMMENT.pattern}|[^'\"\\]*)")
_ESCAPE = re.compile(r'\\[^"]')

_ANCHOR = "is also an anchor in the workspace's own lines, whose aliases could refer to this one: rename it"
_ANCHOR_FOR_CODE = "would be an anchor among the workspace's own lines: replace its aliases by what they stand for"
_VARIABLE = "is not the module's variable, and may be a secret of the workspace or of the user who starts it"
_SETS = "is a variable of the workspace's Compose file: choose another name that begins with the module's"


@dataclass(frozen=True)
class WorkspaceNames:
    """Names of the workspace that a fragment could use or take over.

    Attributes:
        anchors: The anchors in its own lines of the compose file.
        variables: The variables that its ``.env`` sets, including those of other modules.
        uses: The variables that its own lines of the compose file use.
    """

    anchors: Collection[str] = ()
    variables: Collection[str] = ()
    uses: Collection[str] = ()


NO_NAMES = WorkspaceNames()


def anchors_of(text: str) -> Iterator[tuple[str, int]]:
    """Yield the anchors of a YAML file with their lines, counted from 1."""
    for line, event in _events(text):
        if not isinstance(event, yaml.AliasEvent) and event.anchor:
            yield event.anchor, line


def used_in(text: str) -> set[str]:
    """Return the variables in the values of a Compose file."""
    return {match[1] for _, value in _scalars(text) for match in _NAMED.finditer(value) if match[1]}


def _scalars(text: str) -> Iterator[tuple[int, str]]:
    return ((line, event.value) for line, event in _events(text) if isinstance(event, yaml.ScalarEvent))


def _events(text: str) -> Iterator[tuple[int, yaml.NodeEvent]]:
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.NodeEvent):
            yield text.count("\n", 0, event.start_mark.index if event.start_mark else 0) + 1, event


def refused_anchors(outline: Outline, names_around: WorkspaceNames) -> Iterator[Refused]:
    """Yield the anchors that aliases of other owners could refer to in the shared file."""
    if "&" not in outline.text:
        return
    code = outline.find((compose.CODE_KEY,))
    inside = range(code.line + 1, outline.last_line(code.value) + 2) if code else range(0)
    for name, line in anchors_of(outline.text):
        why = _ANCHOR if name in names_around.anchors else _ANCHOR_FOR_CODE if line in inside else ""
        if why:
            yield Refused(compose.NAME, line, "", setting("anchor", name), why)


def refused_variables(outline: Outline, owner: Owner, names_around: WorkspaceNames) -> Iterator[Refused]:
    """Yield the variables that a fragment uses and that belong to others.

    Args:
        outline: The Compose fragment.
        owner: The module.
        names_around: The workspace's names.
    """
    named = {name for name in _NAMED.findall(outline.text) if name and not owner.may_use(name)}
    # For speed: most fragments use only their own variables. An escape in YAML could hide a name from this search.
    for line, value in _scalars(outline.text) if named or _ESCAPE.search(outline.text) else ():
        plain = set(_without_default(value))
        for name in dict.fromkeys(match[1] for match in _NAMED.finditer(value) if match[1]):
            # Another check reports variables that are not set.
            is_unset = name in plain and name not in names_around.variables and not env_value.is_reserved(name)
            if not (owner.may_use(name) or is_unset):
                yield Refused(compose.NAME, line, "", setting("variable", name), _VARIABLE)


def _without_default(value: str) -> Iterator[str]:
    """Yield the variables without a default, as the check of unset variables does."""
    for match in _REFERENCE.finditer(value):
        if match[0] != "$$" and not (match[2] or "").lstrip(":").startswith(("-", "+")):
            yield match[1] or match[3]


def taken_by_env_file(text: bytes, *, raw: bool) -> Iterator[tuple[int, str]]:
    """Yield the variables that Compose reads from elsewhere for an env file, with their lines, counted from 1.

    A name without a value gets that of the shell. In values without single quotes variables are replaced, unless the
    file is read raw.
    """
    lines = [line.rstrip("\r") for line in text.decode("utf-8", "replace").split("\n")]
    # If values may have several lines, apparent single quotes may be inside double quotes.
    literal = _LITERAL if all(_WHOLE.fullmatch(line) for line in lines) else _COMMENT
    for number, line in enumerate(lines, 1):
        if name := _BARE.fullmatch(line):
            yield number, name[1]
        elif not raw and not literal.fullmatch(line):
            yield from ((number, match[1]) for match in _NAMED.finditer(line) if match[1])


def refused_settings_of_env(module: str, env: bytes, names_around: WorkspaceNames) -> Iterator[Refused]:
    """Yield the variables that a module sets although the workspace's own services use them, with defaults."""
    prefix = f"{ModuleNames(module).env_prefix}_"
    for entry in env_file.entries(env):
        if entry.name in names_around.uses and not entry.name.startswith(prefix):
            yield Refused(env_file.NAME, entry.line + 1, "", setting("variable", entry.name), _SETS)
