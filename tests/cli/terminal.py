"""The installed program, run as a person runs it: a separate process, in a separate folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import json_outputs

PROGRAM = Path(sys.executable).with_name("dagster-module-builder")
#: Who owns nothing here.
OTHER_USER = 65534
SHARED = ("workspace.yaml", ".env", "docker-compose.yml", "Dockerfile")


@dataclass(frozen=True)
class Terminal:
    """Runs the program with its own workspace, and with nothing of this machine's user."""

    root: Path
    environment: dict[str, str]
    cwd: Path

    def run(self, *arguments: str, program: tuple[str, ...] = (str(PROGRAM),)) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*program, *arguments],
            cwd=self.cwd,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        json_outputs.check(arguments, done.stdout)
        return done

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


def terminal_in(folder: Path) -> Terminal:
    root = folder / "workspace"
    (home := folder / "home").mkdir()
    environment = {**os.environ, "HOME": str(home), "DAGSTER_WORKSPACE": str(root), "NO_COLOR": "1"}
    for variable in ("MODULE_DATABASE_PASSWORD", "XDG_STATE_HOME"):
        environment.pop(variable, None)
    return Terminal(root, environment, home)


def copied(made: Terminal, terminal: Terminal) -> Terminal:
    """Give a terminal a workspace that was made for others."""
    shutil.copytree(made.root, terminal.root, symlinks=True)
    return terminal


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return terminal_in(tmp_path)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """A workspace of which each test gets a copy: the program takes a second to start, and some to make a module."""
    terminal = terminal_in(tmp_path_factory.mktemp("made"))
    terminal.done("workspace.init")
    return terminal
