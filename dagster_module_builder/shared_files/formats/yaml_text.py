"""Reading untrusted YAML; a refusal names the line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from dagster_module_builder.base.errors import DamagedFileError

#: How deeply collections may be nested: libyaml's parser recurses, until the process is killed.
DEEPEST = 200
#: How many aliases a text may have.
MOST_ALIASES = 1000
#: How many values a text may have once its aliases are expanded.
MOST_VALUES = 200_000
#: The cure for a file on a host.
ON_HOST = "Fix it on the host."


def loaded(path: Path, text: bytes, way_out: str = "Fix it by hand.", loader: Any = yaml.CSafeLoader) -> Any:
    """Return the values of a text.

    Args:
        path: The file's path, for the error.
        text: The text.
        way_out: The cure, for the error.
        loader: The loader, which decides how tags are read.

    Raises:
        DamagedFileError: It is not YAML, or nested too deeply.
    """
    try:
        return parsed(text, loader)
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        problem = str(getattr(error, "problem", None) or "this is not YAML")
        # libyaml counts one more line at the end of a text, even if the last line has no line feed.
        last = max(len(text.splitlines()), 1)
        raise DamagedFileError(path, None if line is None else min(line + 1, last), problem, way_out) from None


def parsed(text: bytes | str, loader: Any = yaml.CSafeLoader) -> Any:
    """Return the values of a text.

    Raises:
        yaml.YAMLError: It is not YAML, is nested too deeply, or has a value that Python cannot represent.
    """
    try:
        refuse_boundless(text)
        return yaml.load(text, Loader=loader)  # noqa: S506, TID251 - a safe loader, after the check
    except (ValueError, RecursionError) as error:
        raise yaml.YAMLError(str(error)) from None


def refuse_boundless(text: bytes | str) -> None:
    """Refuse a text that would exhaust its readers: deep nesting, and aliases that expand to much or to themselves.

    Raises:
        yaml.YAMLError: It is such a text, or not YAML.
    """
    sizes: dict[str, int] = {}
    #: The open collections: the anchor of each, and how many values it has so far.
    inside: list[tuple[str | None, int]] = [(None, 0)]
    aliases = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            inside.append((event.anchor, 1))
        elif isinstance(event, (yaml.CollectionEndEvent, yaml.NodeEvent)):
            anchor, size = inside.pop() if isinstance(event, yaml.CollectionEndEvent) else (event.anchor, 1)
            if isinstance(event, yaml.AliasEvent):
                aliases += 1
                size = MOST_VALUES + 1 if anchor in dict(inside) else sizes.get(str(anchor), 1)
            elif anchor:
                sizes[anchor] = size
            inside[-1] = (inside[-1][0], inside[-1][1] + size)
        if problem := _beyond(len(inside), aliases, inside[-1][1]):
            mark: Any = event.start_mark
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _beyond(depth: int, aliases: int, values: int) -> str:
    if depth > DEEPEST + 1:
        return "collections nested too deeply"
    if aliases > MOST_ALIASES:
        return "too many aliases"
    return "aliases that expand to too many values" if values > MOST_VALUES else ""
