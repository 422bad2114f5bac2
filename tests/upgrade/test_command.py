"""``upgrade`` as a person types it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dagster_module_builder.upgrade import unfinished
from tests.audit.projects import SCAFFOLD, SINGLE_FILE, write
from tests.cli.conftest import Terminal
from tests.upgrade.conftest import files_of


@pytest.fixture
def terminal(root: Path, tmp_path: Path) -> Terminal:
    (home := tmp_path / "home").mkdir()
    return Terminal(root, {**os.environ, "HOME": str(home), "DAGSTER_WORKSPACE": str(root), "NO_COLOR": "1"}, home)


def test_check_is_exit_code_1_while_there_is_something_to_do(terminal: Terminal, root: Path) -> None:
    project = write(root / "projects/orders", SCAFFOLD)
    before = files_of(project)
    assert terminal.run("upgrade", "orders", "--check").returncode == 1
    shown = terminal.done("upgrade", "orders", "--dry-run")
    assert "+    resources=RESOURCES," in shown
    assert files_of(project) == before
    said = terminal.done("upgrade", "orders")
    assert "made    projects/orders/orders/resources.py" in said
    assert "workspace.sync" in said
    assert terminal.done("upgrade", "orders", "--check").strip() == "orders is up to date"


def test_all_modules_go_on_when_one_cannot(terminal: Terminal, root: Path) -> None:
    write(root / "projects/orders", SINGLE_FILE)
    write(root / "projects/dagster", SINGLE_FILE)
    result = terminal.run("upgrade", "--all")
    assert result.returncode == 1
    assert "Error: dagster:" in result.stderr
    assert "Upgraded orders" in result.stdout
    assert "sales is up to date" in result.stdout
    assert not unfinished.place(root, "orders").exists()


def test_a_module_elsewhere_is_refused(terminal: Terminal, root: Path, tmp_path: Path) -> None:
    elsewhere = write(tmp_path / "elsewhere/sales", SINGLE_FILE)
    before = files_of(root / "projects/sales")
    assert "--move" in terminal.refused("upgrade", str(elsewhere))
    assert files_of(root / "projects/sales") == before
    assert files_of(elsewhere).keys() == SINGLE_FILE.keys()


def test_wrong_usage_is_exit_code_2(terminal: Terminal) -> None:
    terminal.refused("upgrade", "sales", "--check", "--abort", code=2)
    terminal.refused("upgrade", code=2)
    assert "No upgrade" in terminal.refused("upgrade", "sales", "--continue")
    terminal.done("upgrade", "--all", "--abort")
