"""The schema of ``deployment.yaml``: one part for all deployments, and one for each strategy."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

from dagster_module_builder.deploy.model.base_path import refused_base_path
from deploy_strategies import folders, strategy_folder


def problem_with(data: Any) -> str | None:
    """Return what is wrong with the content of a ``deployment.yaml``; None if nothing is."""
    import fastjsonschema  # slow to load, and only some commands need it

    try:
        _validator("")(data)
        _validator(data["strategy"])(data)
        if carried := carried_out(data):
            _validator(carried)(data)
    except fastjsonschema.JsonSchemaValueException as error:
        return _in_words(error)
    return refused_base_path(data)


def _in_words(error: Any) -> str:
    """Return what a person can do about a value that a schema refuses, instead of a regular expression.

    Editors show ``patternErrorMessage``, too (https://code.visualstudio.com/docs/languages/json).
    """
    cure_of = _CURES.get(error.rule)
    cure = cure_of(error.definition) if cure_of else None
    if cure is None:
        return str(error.message).replace("data.", "", 1)
    return f"{error.name.replace('data.', '', 1)} is {str(error.value)[:80]!r}: {cure}"


def _whole_number(definition: Mapping[str, Any]) -> str | None:
    """Return the bounds of a number; None for a value of another type."""
    types = definition.get("type")
    if "integer" not in (types if isinstance(types, list) else [types]):
        return None
    return f"write a number from {definition.get('minimum', 0)} to {definition.get('maximum', 'any')}"


#: What to do about a value, by the rule that refuses it.
_CURES: Mapping[str, Callable[[Mapping[str, Any]], str | None]] = {
    "pattern": lambda definition: definition.get("patternErrorMessage", "its strategy does not allow this"),
    "enum": lambda definition: f"choose {', '.join(map(str, definition['enum']))}",
    "oneOf": lambda definition: definition.get("oneOfErrorMessage"),
    "type": _whole_number,
    "minimum": _whole_number,
    "maximum": _whole_number,
}


def carried_out(data: Mapping[str, Any]) -> str | None:
    """Return the strategy that a pipeline carries out for the one named in a ``deployment.yaml``; None without one."""
    section = data.get(str(data.get("strategy")))
    carried = section.get("carries_out") if isinstance(section, dict) else None
    return None if carried is None else str(carried)


@functools.cache
def _validator(strategy: str) -> Any:
    import fastjsonschema

    return fastjsonschema.compile(json.loads(_schema_text(strategy)), use_default=False)


def _schema_text(strategy: str) -> str:
    if not strategy:
        return folders.SCHEMA.read_text("utf-8")
    path = strategy_folder(strategy) / "schema.json"
    return path.read_text("utf-8") if path.is_file() else "{}"


def schema() -> dict[str, Any]:
    """Return one JSON Schema for ``deployment.yaml`` with every strategy, for editors."""
    whole: dict[str, Any] = json.loads(_schema_text(""))
    for name in folders.names():
        own = json.loads(_schema_text(name))
        whole["properties"] |= own.get("properties", {})
    whole["properties"]["strategy"]["enum"] = list(folders.names())
    return whole
