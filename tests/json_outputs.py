"""What tasks print with ``--json`` is what their schemas say: asked of every output that a test's program has."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

from dagster_module_builder.commands import namespace

SCHEMAS = Path(__file__).parents[1] / "dagster_module_builder/commands/json_schemas"
#: They print a line of JSON for each part of a result that has no end.
STREAMS = {"deploy.logs", "workspace.dev", "workspace.logs"}
#: What a task prints that failed before it had a result.
ERROR = "error"
TASKS = {name: context.name for context in namespace.to_contexts() for name in (context.name, *context.aliases)}


def task_of(words: Sequence[str]) -> str | None:
    """Return the task of a command line, also if it is typed in two words."""
    return TASKS.get(words[0]) or TASKS.get(".".join(words[:2])) if words else None


def closed(schema: Any) -> Any:
    """Return a schema that takes no keys but those that it names: programs have to bear new ones, tests do not."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), Mapping) and "type" in schema:
        inner.setdefault("additionalProperties", False)
    return inner


def read(task: str) -> dict[str, Any]:
    """Return a task's schema."""
    schema: dict[str, Any] = json.loads((SCHEMAS / f"{task}.schema.json").read_text("utf-8"))
    return schema


@cache
def _validator(task: str) -> Any:
    return fastjsonschema.compile(closed(read(task)))


def _is_stream(task: str, out: str) -> bool:
    # A failure is one document of several lines.
    return task in STREAMS and not out.startswith("{\n")


def _validate(task: str, data: Any) -> None:
    failed = isinstance(data, dict) and {"error", "results"} <= set(data) <= {"error", "results", "next", "tasks"}
    # A task that had nothing to do, or was told not to, has no result.
    if data != {}:
        _validator(ERROR if failed else task)(data if failed else _without_reason(task, data))


def _without_reason(task: str, data: Any) -> Any:
    """Return a result without the reason why its task failed on the way, which is beside it whatever the task."""
    has_own = '"error"' in json.dumps(read(task))
    return data if has_own or not isinstance(data, dict) else {key: data[key] for key in data if key != "error"}


def wrong(words: Sequence[str], out: str) -> Iterator[str]:
    """Yield what is wrong with the output of a command line; nothing if it was not asked for JSON."""
    task = task_of(words)
    if task is None or "--json" not in words or "--help" in words or not out.strip():
        return
    try:
        for document in out.splitlines() if _is_stream(task, out) else [out]:
            _validate(task, json.loads(document))
    except ValueError as error:
        # fastjsonschema's errors are ValueErrors, too.
        yield f"{' '.join(words)}: {error}\n{out[:2000]}"


def check(words: Sequence[str], out: str) -> None:
    """Fail if an output is not what the task's schema says."""
    if found := list(wrong(words, out)):
        pytest.fail("\n".join(found), pytrace=False)
