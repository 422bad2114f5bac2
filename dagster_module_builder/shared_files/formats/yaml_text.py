"""YAML that came from elsewhere, read for its values: what has none is refused with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from dagster_module_builder.base.errors import DamagedFileError

#: How deep collections may lie in each other: libyaml's reader calls itself for each, until the process is killed.
DEEPEST = 200
#: How many references to other parts of a text there may be: each may stand for many more.
MOST_ALIASES = 1000
#: How many values there may be in a text once each alias is replaced by what it stands for.
MOST_VALUES = 200_000
#: What to do with a file of a host's.
ON_HOST = "Fix it on the host."


def loaded(path: Path, text: bytes, way_out: str = "Fix it by hand.", loader: Any = yaml.CSafeLoader) -> Any:
    """Return the values of a text.

    Args:
        path: What a refusal calls it.
        text: The text.
        way_out: What a refusal says to do.
        loader: How its tags are read.

    Raises:
        DamagedFileError: It is no YAML, or nested too deeply.
    """
    try:
        return parsed(text, loader)
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        found = str(getattr(error, "problem", None) or "this is not YAML")
        # libyaml puts the end of a text on a line of its own, also where its last line has no end.
        last = max(len(text.splitlines()), 1)
        raise DamagedFileError(path, None if line is None else min(line + 1, last), found, way_out) from None


def parsed(text: bytes | str, loader: Any = yaml.CSafeLoader) -> Any:
    """Return the values of a text.

    Raises:
        yaml.YAMLError: It is no YAML, is nested too deeply, or has a value that Python knows none for.
    """
    try:
        refuse_boundless(text)
        return yaml.load(text, Loader=loader)  # noqa: S506, TID251 - a safe loader, behind the door
    except (ValueError, RecursionError) as error:
        raise yaml.YAMLError(str(error)) from None


def refuse_boundless(text: bytes | str) -> None:
    """Refuse what takes readers beyond all bounds: deep nesting, and aliases that stand for much, or for themselves.

    Raises:
        yaml.YAMLError: It is such, or no YAML.
    """
    sizes: dict[str, int] = {}
    #: The collections that are open: the anchor of each, and how many values there are in it so far.
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
    return "aliases that stand for too many values" if values > MOST_VALUES else ""
