"""Before a module is removed, a person at a terminal sees what goes, and says whether its data goes, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from dagster_module_builder.claims.stores import STORAGE
from tests.cli.keyboard import Seen, type_into
from tests.cli.task_lines import without_tools
from tests.cli.terminal import PROGRAM, Terminal
from tests.engine.folders import make_module, make_workspace


@pytest.fixture
def workspace(terminal: Terminal, tmp_path: Path) -> Terminal:
    make_workspace(terminal.root)
    make_module(terminal.root, "sales-report")
    terminal.done("workspace.add", "sales-report", "--no-check")
    return Terminal(terminal.root, without_tools(terminal, tmp_path), terminal.cwd)


def remove(workspace: Terminal, answers: Mapping[str, Sequence[str]], *flags: str) -> Seen:
    return type_into(workspace, [str(PROGRAM), "workspace.remove", "sales-report", *flags], answers)


def test_return_removes_nothing(workspace: Terminal) -> None:
    before = workspace.shared_files()
    seen = remove(workspace, {})
    assert seen.code == 0
    assert "changed services/dagster/workspace.yaml" in seen.screen
    assert "Remove sales-report from the workspace? Its project and its data stay. [y/N]" in seen.screen
    assert seen.screen.rstrip().endswith("Nothing was changed.")
    assert workspace.shared_files() == before


def test_a_yes_removes_it(workspace: Terminal) -> None:
    seen = remove(workspace, {"Remove sales-report": ["y"]})
    assert (seen.code, seen.screen.count("[y/N]")) == (0, 1)
    assert "Removed sales-report from" in seen.screen


@pytest.mark.parametrize(("answer", "stays"), [("", True), ("y", False)])
def test_its_data_is_offered_and_kept_unless_it_is_asked_for(workspace: Terminal, answer: str, stays: bool) -> None:
    stored = workspace.root / STORAGE / "sales_report/number"
    stored.parent.mkdir(parents=True)
    stored.write_text("1")
    seen = remove(workspace, {"Remove sales-report": ["y"], "Delete this data": [answer]})
    assert seen.code == 0
    assert "The module's data:" in seen.screen
    assert stored.exists() is stays, seen.screen


@pytest.mark.parametrize("flag", ["--yes", "--dry-run", "--json"])
def test_who_has_said_so_is_not_asked(workspace: Terminal, flag: str) -> None:
    seen = remove(workspace, {}, flag)
    assert seen.code == 0
    assert "[y/N]" not in seen.screen


def test_a_script_is_not_asked(workspace: Terminal) -> None:
    assert "Removed sales-report from" in workspace.done("workspace.remove", "sales-report")
