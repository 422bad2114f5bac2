"""``doctor`` names what is wrong and the cure, one illness at a time."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from dagster_module_builder.base import settings
from tests.cli.task_lines import without_tools
from tests.cli.terminal import Terminal
from tests.engine.folders import make_module, make_workspace, services

PORT_OF_PAGE = "DAGSTER_PORT"


@pytest.fixture
def quiet(terminal: Terminal, tmp_path: Path) -> Terminal:
    """A small workspace in order, on a machine on which Docker does not answer and no index is asked."""
    make_workspace(terminal.root)
    make_module(terminal.root, "sales-report")
    terminal.done("workspace.add", "sales-report", "--no-check")
    (services(terminal.root) / ".env").chmod(0o600)
    return Terminal(terminal.root, without_tools(terminal, tmp_path), terminal.cwd)


def found(terminal: Terminal, *flags: str, code: int = 0) -> list[dict[str, str]]:
    result = terminal.run("doctor", "--json", *flags)
    assert result.returncode == code, result.stdout + result.stderr
    said = json.loads(result.stdout)
    assert said["ok"] is (code == 0)
    return list(said["findings"])


def test_what_is_in_order_is_said_so(quiet: Terminal) -> None:
    areas = {finding["area"] for finding in found(quiet)}
    assert areas >= {"machine", "disk", "workspace", "modules", "docker"}
    text = quiet.done("doctor")
    assert f"{quiet.root} ($DAGSTER_WORKSPACE names it)" in text
    assert "1 of 1 in" in text
    assert text.rstrip().endswith("0 problems, 2 warnings")  # Docker, twice
    assert "(--root names it)" in quiet.done("doctor", "--root", str(quiet.root))


def block_edited(terminal: Terminal) -> None:
    env = services(terminal.root) / ".env"
    env.write_bytes(env.read_bytes().replace(b"# END: sales_report", b"TYPED=1\n# END: sales_report"))


def registry_damaged(terminal: Terminal) -> None:
    (terminal.root / settings.REGISTRY).write_text("{")


def module_gone(terminal: Terminal) -> None:
    shutil.rmtree(terminal.root / "projects/sales-report")


def upgrade_unfinished(terminal: Terminal) -> None:
    (terminal.root / settings.BACKUPS).mkdir(exist_ok=True)
    (terminal.root / settings.BACKUPS / "upgrade-sales-report.zip").write_bytes(b"")


def deployment_unreadable(terminal: Terminal) -> None:
    folder = terminal.root / "projects/sales-report/deploy/yoda"
    folder.mkdir(parents=True)
    (folder / "deployment.yaml").write_text("client: [\n")


def environment_without_python(terminal: Terminal) -> None:
    (terminal.root / ".native/venv/bin").mkdir(parents=True)
    (terminal.root / ".native/venv/bin/python").symlink_to("/gone/python")


#: What is done to a workspace, and the area, the text and the cure of what is found then.
ILLNESSES: dict[str, tuple[Callable[[Terminal], None], str, str, str]] = {
    "a block that was edited": (block_edited, "workspace", "edited", "workspace.sync --force"),
    "a damaged registry": (registry_damaged, "workspace", "registry", "workspace.restore"),
    "a module that is gone": (
        module_gone,
        "modules",
        "sales-report: its folder is gone",
        "workspace.remove sales-report",
    ),
    "an unfinished upgrade": (upgrade_unfinished, "modules", "not resolved", "upgrade sales-report --continue"),
    "a damaged deployment": (deployment_unreadable, "deployments", "yoda of sales-report", "configure-deployment"),
    "an environment whose Python is gone": (environment_without_python, "workspace", "is gone", "Delete"),
}


@pytest.mark.parametrize("kind", ILLNESSES)
def test_each_problem_has_its_cure(quiet: Terminal, kind: str) -> None:
    spoil, area, text, cure = ILLNESSES[kind]
    spoil(quiet)
    problems = [finding for finding in found(quiet, code=1) if finding["state"] == "problem"]
    assert any(area == each["area"] and text in each["text"] and cure in each["cure"] for each in problems), problems
    assert quiet.run("doctor").returncode == 1


def test_without_a_workspace_the_machine_is_looked_at(terminal: Terminal) -> None:
    *_, last = found(terminal, "--root", "nowhere", code=1)
    assert "there is no workspace at" in last["text"]
    assert last["cure"].startswith("workspace.init --root")


def test_a_program_that_is_missing_costs_something(quiet: Terminal, tmp_path: Path) -> None:
    programs = tmp_path / "few"
    programs.mkdir()
    for name in ("git", "ssh"):
        (programs / name).symlink_to(str(shutil.which(name)))
    few = Terminal(quiet.root, {**quiet.environment, "PATH": str(programs)}, quiet.cwd)
    warnings = [finding["text"] for finding in found(few) if finding["state"] == "warning"]
    assert "rsync is not installed: no rsync deployments" in warnings


def test_a_port_that_another_program_has_is_named(quiet: Terminal) -> None:
    with ExitStack() as stack:
        other = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = other.getsockname()[1]
        env = services(quiet.root) / ".env"
        lines = [line for line in env.read_text().splitlines() if not line.startswith(PORT_OF_PAGE)]
        env.write_text("\n".join([f"{PORT_OF_PAGE}={port}", *lines, ""]))
        problems = [each for each in found(quiet, code=1) if each["state"] == "problem"]
    assert [each["text"] for each in problems] == [f"another program listens on {port} ({PORT_OF_PAGE})"]


@pytest.mark.parametrize("value", ["²", "99999", "0", "''"])
def test_a_value_that_is_no_port_is_left_to_others(quiet: Terminal, value: str) -> None:
    env = services(quiet.root) / ".env"
    env.write_text(env.read_text() + f"OTHER_PORT={value}\n")
    assert "This should not have happened" not in quiet.run("doctor").stderr


def test_folders_of_notes_that_cannot_be_written_are_named(quiet: Terminal, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    there = Terminal(quiet.root, {**quiet.environment, "XDG_STATE_HOME": str(tmp_path / "file/below")}, quiet.cwd)
    assert any("XDG_STATE_HOME" in each["cure"] for each in found(there, code=1))
