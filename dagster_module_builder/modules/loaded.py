"""Load a module's definitions in this process, and print as JSON what Dagster sees.

``environment`` runs this file by its path, with the Python of the module's environment.
It imports nothing from this package, which that environment does not have.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any


def main() -> int:
    """Answer the request on stdin with one JSON object, the last line on stdout."""
    # A script's folder is first in the import path: modules in it must not shadow others.
    del sys.path[0]
    request = json.load(sys.stdin)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # What the module prints must not be part of the answer.
    os.dup2(2, 1)
    sys.path[:0] = [request["source"]]
    sys.path += request.get("also", [])
    try:
        answer = _loaded(request["dotted"])
    except BaseException as error:  # noqa: BLE001 - the module's code can raise anything
        answer = {"problem": f"{type(error).__name__}: {error}".partition("\n")[0]}
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
    return 0


def _loaded(dotted: str) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    for target in _targets(importlib.import_module(dotted)):
        for kind, found in _contents(target).items():
            known = answer.setdefault(kind, type(found)())
            answer[kind] = {**known, **found} if isinstance(found, dict) else known + found
    return answer


def _contents(target: Any) -> dict[str, Any]:
    validate = getattr(type(target), "validate_loadable", None)
    if validate:
        validate(target)
    repository = _repository(target)
    resources = getattr(target, "resources", None) or repository.get_top_level_resources()
    return {
        "details": _details(repository),
        "assets": [list(key.path) for key in _asset_keys(target, repository)],
        "checks": sorted(map(_shown, getattr(repository, "asset_checks_defs_by_key", {}))),
        "jobs": sorted(job.name for job in repository.get_all_jobs()),
        "schedules": sorted(schedule.name for schedule in repository.schedule_defs),
        "sensors": sorted(sensor.name for sensor in repository.sensor_defs),
        "resources": {name: _kind(value) for name, value in resources.items()},
    }


def _details(repository: Any) -> dict[str, Any]:
    """Return what Dagster's page shows of the definitions, by kind and name; empty for an older Dagster."""
    try:
        from dagster._core.remote_representation.external_data import RepositorySnap

        snap = RepositorySnap.from_def(repository)
        assets = {"/".join(node.asset_key.path): _asset(node) for node in snap.asset_nodes}
        names = {name for node in snap.asset_nodes for name in node.job_names}
        return {
            "assets": assets,
            "checks": {_shown(check): {"blocking": check.blocking} for check in snap.asset_check_nodes or []},
            "jobs": {name: {"assets": _assets_of(snap, name)} for name in names if not name.startswith("__")},
            "schedules": {schedule.name: _schedule(schedule) for schedule in snap.schedules},
            "sensors": {sensor.name: _sensor(sensor) for sensor in snap.sensors},
            "resources": {one.name: {"type": one.resource_type} for one in snap.resources or [] if one.is_top_level},
        }
    except (ImportError, AttributeError, TypeError):
        return {}


def _assets_of(snap: Any, job: str) -> list[str]:
    return sorted("/".join(node.asset_key.path) for node in snap.asset_nodes if job in node.job_names)


def _asset(node: Any) -> dict[str, Any]:
    return {
        "deps": sorted("/".join(edge.parent_asset_key.path) for edge in node.parent_edges),
        "group": node.group_name,
        "code version": node.code_version,
        "partitioned": node.partitions is not None,
    }


def _schedule(schedule: Any) -> dict[str, Any]:
    crons = schedule.cron_schedule
    return {
        "cron": crons if isinstance(crons, str) else str(list(crons)),
        "timezone": schedule.execution_timezone or "UTC",
        "job": _named(schedule.job_name),
    }


def _sensor(sensor: Any) -> dict[str, Any]:
    jobs = sorted(_named(target.job_name) for target in (sensor.target_dict or {}).values())
    return {"type": sensor.sensor_type.name if sensor.sensor_type else None, "jobs": jobs}


def _named(job: str) -> str:
    """Return a job's name; empty for one that Dagster makes for chosen assets."""
    return "" if job.startswith("__") else job


def _targets(module: Any) -> list[Any]:
    """Return what Dagster's code server takes from a module: definitions, repositories, a job, or its assets."""
    # Not before the import path is set.
    from dagster._core.workspace.autodiscovery import loadable_targets_from_loaded_module

    try:
        from dagster.components.definitions import LazyDefinitions  # not in older versions
    except ImportError:
        LazyDefinitions = ()  # noqa: N806
    targets = [target.target_definition for target in loadable_targets_from_loaded_module(module)]
    return [_lazy(target) if LazyDefinitions and isinstance(target, LazyDefinitions) else target for target in targets]


def _lazy(value: Any) -> Any:
    try:
        return value()
    except TypeError:
        from dagster.components.core.context import ComponentLoadContext

        return value(ComponentLoadContext.for_test())


def _repository(target: Any) -> Any:
    from dagster._core.definitions.reconstruct import repository_def_from_target_def

    repository = repository_def_from_target_def(target)
    # Assets that are computed from outside, in older versions.
    compute = getattr(repository, "compute_repository_definition", None)
    return compute() if compute else repository


def _asset_keys(target: Any, repository: Any) -> Any:
    for name in ("resolve_all_asset_specs", "get_all_asset_specs"):
        if method := getattr(target, name, None):
            return [spec.key for spec in method()]
    return sorted({*repository.assets_defs_by_key, *repository.source_assets_by_key})


def _shown(check: Any) -> str:
    return f"{'/'.join(check.asset_key.path)}:{check.name}"


def _kind(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__name__}"


if __name__ == "__main__":
    sys.exit(main())
