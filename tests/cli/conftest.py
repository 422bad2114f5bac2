"""Workspaces for a person at a terminal."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import needs
from tests.cli.deployed import furnish
from tests.cli.quick_program import quick_program
from tests.cli.terminal import OTHER_USER, Terminal, copied, made, terminal, terminal_in

__all__ = ["made", "quick_program", "terminal"]


@pytest.fixture
def workspace(terminal: Terminal, made: Terminal) -> Terminal:
    return copied(made, terminal)


@pytest.fixture(scope="session")
def made_full(tmp_path_factory: pytest.TempPathFactory, made: Terminal) -> Terminal:
    """A workspace with a module in it and a deployment."""
    terminal = copied(made, terminal_in(tmp_path_factory.mktemp("full")))
    furnish(terminal)
    return terminal


@pytest.fixture(scope="session")
def reader(made_full: Terminal) -> Iterator[Terminal]:
    """A workspace that all may read and only root may write, for a user without rights who has a home."""
    needs.root()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(made_full.root, folder / "workspace", symlinks=True)
        (home := folder / "home").mkdir()
        for path in (folder, *folder.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o600 if path.name == ".lock" else 0o755 if path.is_dir() else 0o644)
        os.chown(home, OTHER_USER, OTHER_USER)
        environment = {**made_full.environment, "HOME": str(home), "DAGSTER_WORKSPACE": str(folder / "workspace")}
        yield Terminal(folder / "workspace", environment, home)


@pytest.fixture
def full(terminal: Terminal, made_full: Terminal) -> Terminal:
    return copied(made_full, terminal)
