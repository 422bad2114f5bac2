"""The installed program, run as a person runs it: a process of its own, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import needs
from tests.cli.deployed import furnish
from tests.cli.quick_program import QuickProgram

PROGRAM = Path(sys.executable).with_name("dagster-module-builder")
#: Who owns nothing here.
OTHER_USER = 65534
SHARED = ("workspace.yaml", ".env", "docker-compose.yml", "Dockerfile")


@dataclass(frozen=True)
class Terminal:
    """Runs the program with a workspace of its own, and with nothing of this machine's user."""

    root: Path
    environment: dict[str, str]
    cwd: Path

    def run(self, *arguments: str, program: tuple[str, ...] = (str(PROGRAM),)) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*program, *arguments],
            cwd=self.cwd,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def done(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def refused(self, *arguments: str, code: int = 1) -> str:
        result = self.run(*arguments)
        assert result.returncode == code, result.stdout + result.stderr
        assert "Traceback" not in result.stderr
        return result.stderr

    def shared_files(self) -> dict[str, bytes]:
        return {name: (self.root / "services/dagster" / name).read_bytes() for name in SHARED}


def everything_in(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if path.name != ".lock"
    }


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return terminal_in(tmp_path)


def terminal_in(folder: Path) -> Terminal:
    root = folder / "workspace"
    (home := folder / "home").mkdir()
    environment = {**os.environ, "HOME": str(home), "DAGSTER_WORKSPACE": str(root), "NO_COLOR": "1"}
    for variable in ("MODULE_DATABASE_PASSWORD", "XDG_STATE_HOME"):
        environment.pop(variable, None)
    return Terminal(root, environment, home)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """A workspace of which each test gets a copy: the program takes a second to start, and some to make a module."""
    terminal = terminal_in(tmp_path_factory.mktemp("made"))
    terminal.done("workspace.init")
    return terminal


@pytest.fixture
def workspace(terminal: Terminal, made: Terminal) -> Terminal:
    return copied(made, terminal)


def copied(made: Terminal, terminal: Terminal) -> Terminal:
    """Give a terminal a workspace that was made for others."""
    shutil.copytree(made.root, terminal.root, symlinks=True)
    return terminal


@pytest.fixture(scope="session")
def quick_program() -> Iterator[QuickProgram]:
    """The program, for tests of many commands."""
    program = QuickProgram()
    yield program
    program.close()


@pytest.fixture(scope="session")
def made_full(tmp_path_factory: pytest.TempPathFactory, made: Terminal) -> Terminal:
    """A workspace with a module in it and a deployment."""
    terminal = copied(made, terminal_in(tmp_path_factory.mktemp("full")))
    furnish(terminal)
    return terminal


@pytest.fixture(scope="session")
def anybody(made_full: Terminal) -> Iterator[Terminal]:
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
