"""Cures that are true: each task, flag and setting that a message names exists, for the task that it is about."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from dagster_module_builder.deploy.model.schema import schema
from tests.cli.message_texts import CONTEXTS, FLAGS, MESSAGES, SOURCES, settings_of

COLLECTIONS = {name.partition(".")[0] for name in CONTEXTS if name and "." in name}

#: A task in quotes, with what follows it there; what is filled in stands as ``{}``.
TASK = re.compile(r"['`]([a-z-]+(?:\.[a-z-]+)?)((?: [^'`\n]*)?)['`]")
#: A flag that a person is told to give; of a task that is not named beside it.
GIVEN = re.compile(r"(?:[Gg]ive|[Pp]ass|[Uu]se|[Aa]dd|[Tt]ake|[Tt]ry|with|or) (--[a-z][a-z-]*)")
#: A setting of deployment.yaml in quotes, with its section.
SETTING = re.compile(r"'((?:[a-z_]+: ?)+)'")


def named_tasks() -> list[tuple[str, str, str]]:
    """Return each task that a message names: where, its name, and what is typed behind it."""
    found = [(str(where), *match.groups()) for where, text in MESSAGES for match in TASK.finditer(text)]
    return [one for one in found if "." in one[1] and one[1].partition(".")[0] in COLLECTIONS]


def test_every_task_that_a_message_names_exists_and_takes_what_is_typed_behind_it() -> None:
    """FAULTS D8."""
    named = named_tasks()
    assert len(named) > 20
    wrong = [one for one in named if one[1] not in CONTEXTS]
    assert wrong == []
    flags = [(where, task, flag) for where, task, rest in named for flag in re.findall(r"--[a-z][a-z-]*", rest)]
    assert [one for one in flags if one[2] not in CONTEXTS[one[1]].flags] == []


def test_every_flag_that_a_message_tells_to_give_exists() -> None:
    """FAULTS D8."""
    given = [(str(where), flag) for where, text in MESSAGES for flag in GIVEN.findall(text)]
    assert len(given) > 10
    assert [one for one in given if one[1] not in FLAGS] == []


def test_every_setting_of_a_deployment_that_a_message_names_exists() -> None:
    """FAULTS D8."""
    known = settings_of(schema())
    places = ("dagster_module_builder/deploy", "deploy_strategies")
    quoted = [(str(where), name) for where, text in MESSAGES if str(where).startswith(places)
              for match in SETTING.findall(text) for name in re.findall("[a-z_]+", match)]  # fmt: skip
    assert ("dagster_module_builder/deploy/connection/host_start.py", "python") in quoted
    assert [one for one in quoted if one[1] not in known] == []


def names_in(function: ast.FunctionDef) -> set[str]:
    """Return every name that a function uses."""
    return {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}


def tasks_of(function: ast.FunctionDef, module: dict[str, ast.FunctionDef]) -> set[str]:
    """Return the tasks that a function is the body of, or is called by."""
    named = {str(one.args[0].value) for one in function.decorator_list
             if isinstance(one, ast.Call) and one.args and isinstance(one.args[0], ast.Constant)}  # fmt: skip
    callers = [one for one in module.values() if one is not function and function.name in names_in(one)]
    return named or {task for caller in callers for task in tasks_of(caller, module)}


def questions() -> Iterator[tuple[str, str]]:
    """Yield, for each question that is asked before something is destroyed, its tasks and the flag that answers it."""
    commands = [path for where, path in SOURCES.items() if "commands" in where.parts]
    modules = [{one.name: one for one in ast.parse(path.read_text()).body if isinstance(one, ast.FunctionDef)}
               for path in commands]  # fmt: skip
    for module in modules:
        for function in module.values():
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "console.confirmed":
                    flags = [key.value for key in node.keywords if key.arg == "flag"]
                    flag = str(ast.literal_eval(flags[0])) if flags else "--yes"
                    # A question that several files ask is in a separate one.
                    others = [(other, caller) for other in modules for caller in other.values()
                              if other is not module and function.name in names_in(caller)]  # fmt: skip
                    asking = {task for other, caller in others for task in tasks_of(caller, other)}
                    yield from ((task, flag.split()[0]) for task in tasks_of(function, module) or asking or {"?"})


@pytest.mark.parametrize(("task", "flag"), sorted(set(questions())))
def test_a_question_without_a_terminal_names_a_flag_of_its_task(task: str, flag: str) -> None:
    """FAULTS D8: ``deploy.trust`` has no ``--yes``."""
    assert flag in CONTEXTS[task].flags


def test_the_question_of_every_task_is_looked_at() -> None:
    """FAULTS D8: the collection above finds them."""
    assert {task for task, _ in questions()} >= {"deploy.trust", "deploy.unlock"}
