"""The schema of ``deployment.yaml``: one part for all deployments, and one for each strategy."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
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
        return str(error.message).replace("data.", "", 1)
    return refused_base_path(data)


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
