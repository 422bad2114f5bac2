"""YAML that came from elsewhere, read for its values: what has none is refused with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from dagster_module_builder.errors import DamagedFileError

#: How deep collections may lie in each other: libyaml's reader calls itself for each, until the process is killed.
DEEPEST = 200
#: How many references to other parts of a text there may be: each may stand for many more.
MOST_ALIASES = 1000
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
        raise DamagedFileError(path, None if line is None else line + 1, found, way_out) from None


def parsed(text: bytes | str, loader: Any = yaml.CSafeLoader) -> Any:
    """Return the values of a text.

    Raises:
        yaml.YAMLError: It is no YAML, is nested too deeply, or has a value that Python knows none for.
    """
    try:
        _refuse_deep(text)
        return yaml.load(text, Loader=loader)  # noqa: S506, TID251 - a safe loader, behind the door
    except (ValueError, RecursionError) as error:
        raise yaml.YAMLError(str(error)) from None


def _refuse_deep(text: bytes | str) -> None:
    depth = aliases = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        if depth > DEEPEST or aliases > MOST_ALIASES:
            problem = "collections nested too deeply" if depth > DEEPEST else "too many aliases"
            mark: Any = event.start_mark
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
