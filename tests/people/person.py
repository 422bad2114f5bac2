"""People at a terminal of this machine, and the host that they deploy to."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import needs
from tests.deploy import sshd
from tests.deploy.quick_dagster import QuickDagster
from tests.deploy.sshd import SshHost
from tests.people import other_user

PROGRAM = Path(sys.executable).with_name("dagster-module-builder")
SHARED = ("workspace.yaml", ".env", "docker-compose.yml", "Dockerfile")


@dataclass
class Person:
    """Someone at a terminal of this machine.

    Attributes:
        folder: Where this person's files are.
        home: The home folder.
        environ: What differs from the test's own environment.
        umask: The mask of file modes, or None for the test's own.
        other: Whether it is another user than the one who runs the tests.
    """

    folder: Path
    home: Path
    environ: dict[str, str] = field(default_factory=dict)
    umask: int | None = None
    other: bool = False

    @property
    def root(self) -> Path:
        return self.home / "workspace"

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = other_user.command(*arguments) if self.other else list(map(str, arguments))
        known = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "DAGSTER_"))}
        return subprocess.run(
            command,
            cwd=self.home,
            env={**known, "HOME": str(self.home), "NO_COLOR": "1", "COLUMNS": "200", **self.environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            **({} if self.umask is None else {"umask": self.umask}),
        )

    def done(self, *arguments: str) -> str:
        result = self.run(PROGRAM, *arguments)
        assert result.returncode == 0, f"{arguments}\n{result.stdout}\n{result.stderr}"
        assert "Traceback" not in result.stderr
        return result.stdout

    def refused(self, *arguments: str) -> str:
        result = self.run(PROGRAM, *arguments)
        assert result.returncode == 1, f"{arguments}\n{result.stdout}\n{result.stderr}"
        return result.stdout + result.stderr

    def git(self, *arguments: str) -> None:
        settings = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        result = self.run(needs.program("git"), "-C", self.root, *settings, *arguments)
        assert result.returncode == 0, result.stderr

    def owns(self, folder: Path) -> None:
        """Give this person what the test made."""
        if self.other:
            other_user.owned(folder)

    def shared_files(self) -> dict[str, bytes]:
        return {name: (self.root / "services/dagster" / name).read_bytes() for name in SHARED}


def person(folder: Path, name: str = "home", **others: object) -> Person:
    (home := folder / name).mkdir(parents=True)
    return Person(folder, home, **others)  # type: ignore[arg-type]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder that other users may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="people-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def host(folder: Path) -> Iterator[tuple[SshHost, QuickDagster, str]]:
    needs.programs("rsync", "git")
    with sshd.hosts(folder / "hosts") as (host,):
        dagster = QuickDagster(host.base)
        try:
            yield host, dagster, dagster.prepare()
        finally:
            dagster.stop()
