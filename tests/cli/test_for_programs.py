"""What other programs get of each task with ``--json``, and what is left to read with ``--quiet``."""

from __future__ import annotations

import inspect
import json
import shlex
import subprocess
from typing import Any

import pytest

from dagster_module_builder.commands import namespace
from tests.cli.terminal import PROGRAM, Terminal

ANSWERS = "--client Duo --hosts 127.0.0.1 --base-path /opt/d --strategy git"
#: A workspace's life: each line is a task, and what it may say with ``--quiet``.
LIFE = [
    ("workspace.init", []),
    ("new hotel-bills --no-input", []),
    ("workspace.list", ["hotel-bills"]),
    ("workspace.add hotel-bills --no-check --dry-run", []),
    ("workspace.add hotel-bills --no-check", []),
    ("workspace.validate --no-check", []),
    ("workspace.sync --no-check", []),
    ("audit hotel-bills", []),
    ("upgrade hotel-bills --check", []),
    (f"configure-deployment hotel-bills --deployment yoda --no-input {ANSWERS}", []),
    ("deploy.list", ["yoda"]),
    ("workspace.remove hotel-bills", []),
    ("completion bash", []),
    ("version", []),
    ("skill", []),
]


@pytest.fixture
def here(terminal: Terminal) -> Terminal:
    """A workspace whose path has to be quoted, and which every command names."""
    del terminal.environment["DAGSTER_WORKSPACE"]
    return Terminal(terminal.cwd / "Data #1", terminal.environment, terminal.cwd)


def typed(here: Terminal, line: str, *flags: str) -> list[str]:
    words = shlex.split(line)
    of_workspace = "root" in inspect.signature(namespace[words[0]].body).parameters
    return [*words, *(["--root", str(here.root)] if of_workspace else []), *flags]


@pytest.mark.parametrize("task", sorted(namespace.task_names))
def test_every_task_has_the_flags(task: str) -> None:
    """By construction: ``command`` adds them."""
    arguments = {argument.name: argument for argument in namespace[task].get_arguments()}
    assert not arguments["json"].takes_value
    assert set(arguments["quiet"].names) == {"quiet", "q"}


def test_a_workspaces_life_is_one_document_of_json_for_each_task(here: Terminal) -> None:
    said = {line: json.loads(here.done(*typed(here, line, "--json"))) for line, _ in LIFE}
    assert said["workspace.init"]["changed"] is True
    assert said["new hotel-bills --no-input"]["module"] == "hotel-bills"
    dry, added = (said[f"workspace.add hotel-bills --no-check{flag}"] for flag in (" --dry-run", ""))
    assert dry["dry_run"] is True
    assert dry["diff"].startswith("--- ")
    assert [each["path"] for each in dry["files"]] == [each["path"] for each in added["files"]]
    assert said["workspace.sync --no-check"]["files"] == []
    assert said["upgrade hotel-bills --check"]["modules"][0]["up_to_date"] is True
    assert said["workspace.remove hotel-bills"]["removed"] is True
    assert said["version"]["dagster-module-builder"]


def test_a_workspaces_life_is_quiet_but_for_names(here: Terminal) -> None:
    for line, names in LIFE:
        result = here.run(*typed(here, line, "-q"))
        assert (result.returncode, result.stdout.split(), result.stderr) == (0, names, ""), line


def test_an_error_is_never_quiet(here: Terminal) -> None:
    for flags in (["--quiet"], ["--quiet", "--json"]):
        result = here.run("workspace.add", "nosuch", "--root", str(here.root), *flags)
        assert result.returncode == 1
        assert result.stderr.startswith("Error: ")
        assert bool(result.stdout) is ("--json" in flags)


def next_commands(said: str) -> list[str]:
    return [line.strip() for line in said.partition("\nNext:\n")[2].splitlines()]


def test_next_steps_are_told_once_and_can_be_pasted_with_what_stands_behind_them(here: Terminal) -> None:
    here.done(*typed(here, "workspace.init"))
    said = here.done(*typed(here, "new hotel-bills --no-input --workspace yes"))
    assert said.count("Next:") == 1
    assert said.rstrip().endswith(next_commands(said)[-1])
    (write, *commands) = next_commands(said)
    assert write.startswith("# ")
    assert (here.root / "projects/hotel-bills/src/hotel_bills_dagster/assets.py").is_file()
    assert "projects/hotel-bills/src/hotel_bills_dagster/assets.py" in write
    removed = here.done(*typed(here, "workspace.remove hotel-bills"))
    (again,) = next_commands(removed)
    pasted = pasted_into_shell(here, again)
    assert pasted.returncode == 0, pasted
    assert "Added hotel-bills" in pasted.stdout
    # Those that start something say what they take.
    for command in commands:
        shown = pasted_into_shell(here, command.replace("  #", " --help  #"))
        assert shown.returncode == 0, shown


def pasted_into_shell(here: Terminal, line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line],
        cwd=here.cwd,
        env={**here.environment, "PATH": f"{PROGRAM.parent}:{here.environment['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_programs_get_the_next_steps_and_the_results_of_tasks_that_were_run(workspace: Terminal) -> None:
    said: dict[str, Any] = json.loads(workspace.done("new", "hotel-bills", "--workspace", "yes", "--json"))
    assert said["tasks"]["workspace.add"]["modules"] == ["hotel-bills"]
    assert [each["command"] for each in said["next"]][1] == ("dagster-module-builder workspace.materialize hotel-bills")


def test_numbers_have_their_nouns(workspace: Terminal) -> None:
    """FAULTS G: `1 errors`."""
    file = workspace.root / "services/dagster/workspace.yaml"
    file.write_text(file.read_text() + "# BEGIN: hotel_bills\n")
    assert "\n1 error, 0 warnings" in workspace.run("workspace.validate", "--no-check").stdout


@pytest.mark.parametrize(("short", "long"), [("-q", "--quiet"), ("-n", "--dry_run"), ("-y", "--yes")])
def test_short_flags_are_the_usual_ones(short: str, long: str) -> None:
    """FAULTS G: Invoke's were made up by the order of the arguments."""
    every = [argument for task in namespace.task_names for argument in namespace[task].get_arguments()]
    assert {argument.name for argument in every if short[1:] in argument.names} == {long[2:]}
    assert {name for argument in every for name in argument.names if len(name) == 1} == {"q", "n", "y"}


def test_a_folder_with_a_line_feed_puts_nothing_on_a_line_of_its_own(here: Terminal) -> None:
    """What is pasted would run."""
    odd = Terminal(here.cwd / "a\ntouch oops", here.environment, here.cwd)
    odd.done(*typed(odd, "workspace.init"))
    said = odd.done(*typed(odd, "new hotel-bills --no-input"))
    (write, *_) = next_commands(said)
    assert write.startswith("# Write your assets in ")
    assert "a\\ntouch oops/projects" in write
