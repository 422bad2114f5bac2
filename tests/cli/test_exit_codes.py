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

from dagster_module_builder.base.names import TASK_NAMES, problem_with_name
from dagster_module_builder.commands import namespace
from tests.cli.terminal import PROGRAM, Terminal

REPOSITORY = Path(__file__).resolve().parents[2]
INVOKE = (str(Path(sys.executable).with_name("invoke")), "--search-root", str(REPOSITORY))


def test_success_is_0_and_results_are_on_stdout(workspace: Terminal) -> None:
    result = workspace.run("workspace.list", "--json")
    assert (result.returncode, json.loads(result.stdout)["modules"]) == (0, [])


def test_a_refusal_is_1_and_its_reason_is_on_stderr(workspace: Terminal) -> None:
    result = workspace.run("workspace.add", "nothing-there")
    assert (result.returncode, result.stdout) == (1, "")
    assert "No module 'nothing-there'" in result.stderr


@pytest.mark.parametrize("line", [["workspace.add"], ["no.such.task"], ["workspace.list", "--no-such-flag"]])
def test_wrong_usage_is_2(terminal: Terminal, line: list[str]) -> None:
    assert terminal.refused(*line, code=2)


def test_an_unknown_answer_is_wrong_usage(workspace: Terminal) -> None:
    assert "Unknown database 'oracle'." in workspace.refused("new", "sales", "--database", "oracle", code=2)


@pytest.mark.parametrize("line", [["deploy", "yoda", "--wait", "abc"], ["workspace.dev", "--port=abc"]])
def test_a_number_that_is_none_is_wrong_usage_for_stock_invoke_too(terminal: Terminal, line: list[str]) -> None:
    """FAULTS E7: Invoke lets out what Python says of it."""
    for program, code in (((str(PROGRAM),), 2), (INVOKE, 1)):
        result = terminal.run(*line, program=program)
        assert (result.returncode, result.stdout) == (code, "")
        assert result.stderr.strip().splitlines()[-1].endswith("'abc' is not a number. Pass a whole number.")
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize("program", [(str(PROGRAM),), INVOKE], ids=["program", "invoke"])
@pytest.mark.parametrize("line", [["--list"], ["--help", "new"]], ids=" ".join)
def test_a_list_that_is_cut_off_is_no_traceback(terminal: Terminal, program: tuple[str, ...], line: list[str]) -> None:
    """FAULTS E7: `invoke --list | head`."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*program, *line], env=terminal.environment, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("program", [(str(PROGRAM),), INVOKE], ids=["program", "invoke"])
@pytest.mark.parametrize("line", [["workspace.add", "--help"], ["--help", "workspace.add"], ["workspace.add", "-h"]])
def test_help_of_a_task_is_never_taken_for_a_name(
    terminal: Terminal, program: tuple[str, ...], line: list[str]
) -> None:
    result = terminal.run(*line, program=program)
    assert result.returncode == 0
    assert "Add a module to the workspace." in result.stdout
    assert "The module's name, or the path of its folder." in " ".join(result.stdout.split())


def test_stock_invoke_runs_the_same_tasks(workspace: Terminal) -> None:
    of_invoke = workspace.run("workspace.list", "--json", program=INVOKE).stdout
    assert of_invoke.replace('"invoke ', '"dagster-module-builder ') == workspace.done("workspace.list", "--json")
    assert of_invoke.count('"invoke ') == 1


def test_no_module_can_be_called_like_a_task() -> None:
    names = {name for name in namespace.task_names if "." not in name} | set(namespace.collections)
    assert {name.replace("-", "_") for name in names} <= {name.replace("-", "_") for name in TASK_NAMES}
    assert all(problem_with_name(name) for name in names)


#: Python runs a file of this name first: a copy of the program that opens one file says so, and goes no further.
HOLD_A_COPY = """
import os, pathlib, sys, time
original = os.getpid()
def hold(event, arguments):
    if event == "open" and os.getpid() != original and str(arguments[0]).endswith(os.environ["HELD_AT"]):
        os.environ["HELD_AT"] = "?"
        pathlib.Path(os.environ["HELD_BY"]).write_text(str(os.getpid()))
        time.sleep(60)
sys.addaudithook(hold)
"""
#: What is opened by each hook alone, and while Cookiecutter writes files.
OPENED = ["/pre_prompt.py", "/before_generation.py", "pyproject.toml", "/after_generation.py"]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminated"])
@pytest.mark.parametrize("opened", OPENED)
def test_an_interrupt_in_any_hook_leaves_nothing(
    workspace: Terminal, tmp_path: Path, opened: str, stop: signal.Signals
) -> None:
    before = sorted((workspace.root / "projects").iterdir())
    for folder in ("tmp", "first"):
        (tmp_path / folder).mkdir()
    (tmp_path / "first/sitecustomize.py").write_text(HOLD_A_COPY)
    held = tmp_path / "held"
    environment = {"PYTHONPATH": str(tmp_path / "first"), "HELD_AT": opened, "HELD_BY": str(held)}
    with subprocess.Popen(
        [PROGRAM, "new", "sales"],
        env={**workspace.environment, **environment, "TMPDIR": str(tmp_path / "tmp")},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        while not (held.is_file() and held.read_text()):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(stop)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said.decode().splitlines()[-1]) == (128 + stop, "Interrupted.")
    assert sorted((workspace.root / "projects").iterdir()) == before
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not _works(int(held.read_text()))


def test_who_stops_reading_does_not_stop_the_work(workspace: Terminal) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [PROGRAM, "new", "sales", "--governance=quick"],
        env=workspace.environment, stdout=writer, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, "Error" in done.stderr) == (0, False), done.stderr
    assert (workspace.root / "projects/sales/pyproject.toml").is_file()


def _works(process: int) -> bool:
    """Tell whether a process is there, and not only waits for whoever inherited it to notice its end."""
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_listing_the_tasks_imports_nothing_heavy(terminal: Terminal) -> None:
    code = (
        "import sys; from dagster_module_builder.commands import namespace; "
        "print([name for name in ('fabric', 'paramiko', 'cookiecutter', 'dagster', 'rich') if name in sys.modules])"
    )
    assert terminal.run("-c", code, program=(sys.executable,)).stdout.strip() == "[]"
