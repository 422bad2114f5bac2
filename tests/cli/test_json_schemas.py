"""The schemas of what tasks print with ``--json``; ``tests/json_outputs.py`` holds every test's output against them."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

from tests import json_outputs
from tests.cli.message_texts import CONTEXTS
from tests.cli.terminal import Terminal

TESTS = sorted(Path(__file__).parents[1].rglob("*.py"))
WITH_JSON = sorted({str(context.name) for context in CONTEXTS.values() if context.name and "--json" in context.flags})


def test_every_task_with_json_has_a_schema_and_no_other_has_one() -> None:
    """A new one: a file in ``commands/json_schemas``, with a description of each key that does not say it itself."""
    described = {path.name.removesuffix(".schema.json") for path in json_outputs.SCHEMAS.glob("*.json")}
    assert described == {*WITH_JSON, json_outputs.ERROR}


def test_every_tasks_json_is_asked_for_by_a_test() -> None:
    """The runners hold an output against its schema: here, that each task has one."""
    assert sorted(set(WITH_JSON) - {task for file in TESTS for task in asked_for(file)}) == []


def asked_for(file: Path) -> Iterator[str]:
    """Yield the tasks that a file of tests calls with ``--json``."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        parts = node.args if isinstance(node, ast.Call) else getattr(node, "elts", ())
        texts = [each.value for part in parts for each in ast.walk(part) if isinstance(each, ast.Constant)]
        words = [word for text in texts if isinstance(text, str) for word in text.split()]
        if "--json" in words:
            yield from (json_outputs.TASKS[word] for word in words if word in json_outputs.TASKS)


@pytest.mark.parametrize("task", [*WITH_JSON, json_outputs.ERROR])
def test_a_schema_is_one_and_says_what_it_is_of(task: str) -> None:
    schema = json_outputs.read(task)
    fastjsonschema.compile(schema)
    assert task in schema["title"]
    assert schema["description"].endswith(".")
    assert list(unknown(schema)) == []


def unknown(schema: Any) -> Iterator[str]:
    """Yield what is demanded of an object and not one of its keys."""
    if isinstance(schema, list):
        for one in schema:
            yield from unknown(one)
    elif isinstance(schema, dict):
        yield from (key for key in schema.get("required", ()) if key not in schema.get("properties", {}))
        for value in schema.values():
            yield from unknown(value)


def test_an_output_that_is_not_what_its_schema_says_is_found() -> None:
    right = {"ok": True, "findings": [{"area": "disk", "state": "ok", "text": "50 GiB are free", "cure": ""}]}
    line = ("doctor", "--json")
    assert list(json_outputs.wrong(line, json.dumps(right))) == []
    assert list(json_outputs.wrong(("doctor",), "no JSON")) == []
    assert list(json_outputs.wrong(line, json.dumps({"error": "No workspace.", "results": []}))) == []
    for other in ({**right, "new": 1}, {"ok": True}, {**right, "ok": "yes"}, [right]):
        assert len(list(json_outputs.wrong(line, json.dumps(other)))) == 1
    assert len(list(json_outputs.wrong(line, "{"))) == 1


def test_programs_may_meet_keys_that_a_schema_does_not_have() -> None:
    right = {"backups": [{"identity": "x", "made_at": "2026-01-05 06:00:00", "files": [], "new": 1}]}
    assert fastjsonschema.compile(json_outputs.read("workspace.backups"))(right)


def test_what_a_task_prints_is_held_against_its_schema(made: Terminal) -> None:
    """In two words, too; the runners of programs look at every output."""
    assert json.loads(made.done("workspace", "list", "--json"))["modules"] == []
    assert json_outputs.task_of(["workspace", "list"]) == "workspace.list"
    assert json_outputs.task_of(["deploy", "staging"]) == "deploy.deploy"
