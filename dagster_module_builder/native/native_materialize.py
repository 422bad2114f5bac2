"""Materialize a module's assets in this process: a request as JSON on stdin, results as JSON lines on stdout.

``local_dagster`` runs this file by its path, with the Python of the environment that has Dagster and the requirements.
It imports nothing from this package, which that environment does not have.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
from typing import IO, Any

#: Exit codes beyond Python's own.
FAILED = 3

#: The name of what failed if it was not a single step.
RUN = "the run"

#: The prefixes of the error classes with which Dagster wraps a module's errors.
WRAPPERS = ("DagsterExecution", "DagsterUserCode", "RetryRequested")


def main() -> int:
    """Carry out the request, and return an exit code; every line on stdout is one JSON object."""
    # A script's folder is first in the import path: modules in it must not hide others.
    del sys.path[0]
    request = json.load(sys.stdin)
    # What the module prints goes to the log, not between the results.
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.path.insert(0, request["source"])
    if not request["verbose"]:
        logging.disable(logging.WARNING)
    try:
        return _materialize(request, results)
    except _Problem as problem:
        _say(results, problem=str(problem))
    except Exception as error:  # The module's code may raise anything while it is loaded.
        if request["verbose"]:
            logging.getLogger(__name__).exception("could not be loaded")
        _say(results, problem=f"{request['definitions']} does not load: {_described(error)}")
    return FAILED


class _Problem(Exception):  # noqa: N818  # never leaves this file
    """The request cannot be carried out."""


def _say(results: IO[str], **line: Any) -> None:
    results.write(json.dumps(line) + "\n")
    results.flush()


def _load_env_file() -> None:
    """Set the variables of the working directory's ``.env``, as Dagster's own commands do."""
    from dotenv import dotenv_values  # after the import path is set

    os.environ.update({name: value for name, value in dotenv_values(".env").items() if value is not None})


def _materialize(request: dict[str, Any], results: IO[str]) -> int:
    from dagster import DagsterInstance

    _load_env_file()
    # A workspace's may name an instance that other processes have.
    os.environ.update(DAGSTER_HOME=request["home"])
    with DagsterInstance.get() as instance:
        repository = _definitions(request["definitions"]).get_repository_def()
        keys = _selected(repository.asset_graph, request["select"])
        job = repository.get_implicit_job_def_for_assets(keys)
        if job is None:
            raise _Problem("the selected assets are partitioned differently. Select fewer with --select.")
        partition = _partition(job, keys, request["partition"], instance)
        result = job.execute_in_process(
            instance=instance, asset_selection=sorted(keys), partition_key=partition, raise_on_error=False
        )
    for event in result.all_events:
        _report(event, results)
    return 0 if result.success else FAILED


def _definitions(name: str) -> Any:
    from dagster import Definitions

    # Dagster does not export the class of the decorator `definitions`.
    values = vars(importlib.import_module(name)).values()
    candidates = [
        value for value in values if isinstance(value, Definitions) or type(value).__name__ == "LazyDefinitions"
    ]
    if len(candidates) != 1:
        raise _Problem(f"{name} has {len(candidates)} Definitions objects, but must have one")
    return candidates[0] if isinstance(candidates[0], Definitions) else candidates[0]()


def _selected(graph: Any, select: str | None) -> Any:
    from dagster import AssetSelection

    every = graph.materializable_asset_keys
    if not every:
        raise _Problem("the module has no assets to materialize")
    if select is None:
        return set(every)
    try:
        keys = AssetSelection.from_string(select).resolve(graph) & every
    except Exception as error:  # Dagster's parser and resolver raise various errors.
        raise _Problem(f"--select {select}: {_described(error)}") from error
    if not keys:
        known = ", ".join(sorted(key.to_user_string() for key in every))
        raise _Problem(f"--select {select} selects nothing; the assets are {known}")
    return keys


def _partition(job: Any, keys: set[Any], partition: str | None, instance: Any) -> str | None:
    partitioned = [key for key in keys if job.asset_layer.get(key).partitions_def is not None]
    if not partitioned:
        if partition is not None:
            raise _Problem(f"--partition {partition}: none of the selected assets is partitioned")
        return None
    name, definition = partitioned[0].to_user_string(), job.asset_layer.get(partitioned[0]).partitions_def
    known = definition.get_partition_keys(dynamic_partitions_store=instance)
    if partition not in known:
        if not known:
            raise _Problem(f"{name} is partitioned, but has no partitions yet")
        raise _Problem(f"{name} is partitioned. Pass --partition: one of {len(known)} keys, such as {known[-1]}")
    return partition


def _report(event: Any, results: IO[str]) -> None:
    if event.event_type_value == "ASSET_MATERIALIZATION":
        metadata = event.step_materialization_data.materialization.metadata
        _say(
            results,
            asset=event.asset_key.to_user_string(),
            rows=_value(metadata, "dagster/row_count"),
            path=_value(metadata, "path", "dagster/uri"),
        )
    elif event.event_type_value == "ASSET_CHECK_EVALUATION":
        data = event.asset_check_evaluation_data
        severity = data.severity.value
        _say(results, check=data.check_name, of=data.asset_key.to_user_string(), passed=data.passed, severity=severity)
    elif event.event_type_value == "STEP_FAILURE":
        _say(results, failed=event.step_key, problem=_root_cause(event.step_failure_data.error))
    elif event.event_type_value in {"RUN_FAILURE", "PIPELINE_FAILURE"} and event.job_failure_data.error:
        _say(results, failed=RUN, problem=_root_cause(event.job_failure_data.error))


def _value(metadata: Any, *names: str) -> Any:
    value = next((metadata[name].value for name in names if name in metadata), None)
    return value if value is None or isinstance(value, int) else str(value)


def _root_cause(error: Any) -> str:
    """Return the module's own error message, without those that Dagster wraps around it."""
    if error is None:
        return "no error was recorded"
    while error.cause is not None and (error.cls_name or "").startswith(WRAPPERS):
        error = error.cause
    return str(error.message).strip()


def _described(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main())
