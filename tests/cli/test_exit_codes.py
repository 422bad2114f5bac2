"""What the program and stock Invoke end with, and where the words go."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dagster_module_builder.commands import namespace
from dagster_module_builder.names import TASK_NAMES, problem_with_name
from tests.cli.conftest import PROGRAM, Terminal

REPOSITORY = Path(__file__).resolve().parents[2]
INVOKE = (str(Path(sys.executable).with_name("invoke")), "--search-root", str(REPOSITORY))


def test_success_is_0_and_results_are_on_stdout(workspace: Terminal) -> None:
    result = workspace.run("workspace.list", "--json")
    assert (result.returncode, json.loads(result.stdout)) == (0, {"modules": []})


def test_a_refusal_is_1_and_its_reason_is_on_stderr(workspace: Terminal) -> None:
    result = workspace.run("workspace.add", "nothing-there")
    assert (result.returncode, result.stdout) == (1, "")
    assert "There is no module 'nothing-there'" in result.stderr


@pytest.mark.parametrize("line", [["workspace.add"], ["no.such.task"], ["workspace.list", "--no-such-flag"]])
def test_wrong_usage_is_2(terminal: Terminal, line: list[str]) -> None:
    assert terminal.refused(*line, code=2)


def test_an_unknown_answer_is_wrong_usage(workspace: Terminal) -> None:
    assert "'oracle' is none of" in workspace.refused("new", "sales", "--database", "oracle", code=2)


@pytest.mark.parametrize("program", [(str(PROGRAM),), INVOKE], ids=["program", "invoke"])
@pytest.mark.parametrize("line", [["workspace.add", "--help"], ["--help", "workspace.add"], ["workspace.add", "-h"]])
def test_help_of_a_task_is_never_taken_for_a_name(
    terminal: Terminal, program: tuple[str, ...], line: list[str]
) -> None:
    result = terminal.run(*line, program=program)
    assert result.returncode == 0
    assert "Bring a module into the workspace." in result.stdout
    assert "The module's name, or the path of its folder." in " ".join(result.stdout.split())


def test_stock_invoke_runs_the_same_tasks(workspace: Terminal) -> None:
    assert workspace.run("workspace.list", "--json", program=INVOKE).stdout == workspace.done(
        "workspace.list", "--json"
    )


def test_no_module_can_be_called_like_a_task() -> None:
    names = {name for name in namespace.task_names if "." not in name} | set(namespace.collections)
    assert {name.replace("-", "_") for name in names} <= {name.replace("-", "_") for name in TASK_NAMES}
    assert all(problem_with_name(name) for name in names)


def test_an_interrupt_is_130_and_leaves_nothing(workspace: Terminal) -> None:
    before = sorted((workspace.root / "projects").iterdir())
    with subprocess.Popen(
        [PROGRAM, "new", "sales"], env=workspace.environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        while len(list((workspace.root / "projects").iterdir())) == len(before):
            assert process.poll() is None
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said.decode().splitlines()[-1]) == (130, "Interrupted.")
    assert sorted((workspace.root / "projects").iterdir()) == before


def test_listing_the_tasks_imports_nothing_heavy(terminal: Terminal) -> None:
    code = (
        "import sys; from dagster_module_builder.commands import namespace; "
        "print([name for name in ('fabric', 'paramiko', 'cookiecutter', 'dagster', 'rich') if name in sys.modules])"
    )
    assert terminal.run("-c", code, program=(sys.executable,)).stdout.strip() == "[]"
