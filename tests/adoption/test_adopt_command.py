"""``workspace.adopt`` as a person types it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests import needs
from tests.adoption.adopted import bytes_of, laid_out
from tests.adoption.cases import CASES, Case

OFFICIAL = Case(CASES / "official-topology")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository in which git ignores nothing."""
    root = laid_out(OFFICIAL, tmp_path)
    subprocess.run(["git", "init", "-q", root], check=True)
    return root


def typed(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [needs.program("dagster-module-builder"), "workspace.adopt", str(root), *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def test_a_person_sees_the_whole_file_and_that_passwords_would_be_committed(root: Path) -> None:
    done = typed(root, "--yes")
    assert done.returncode == 0, done.stderr
    assert "+compose-file = docker-compose.yml" in done.stdout
    assert f"git does not ignore {root / '.env'}" in done.stderr


def test_nothing_is_said_of_variables_that_git_ignores(root: Path) -> None:
    (root / ".gitignore").write_text(".env\n")
    done = typed(root, "--yes")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_file_outside_the_repository_is_refused(root: Path) -> None:
    before = bytes_of(root)
    done = typed(root, "--yes", "--compose-file", "/etc/hostname")
    assert done.returncode == 1
    assert "/etc/hostname is outside" in done.stderr
    assert bytes_of(root) == before


NAMING = Case(CASES / "module-behind-an-entrypoint")


@pytest.fixture
def naming(tmp_path: Path) -> Path:
    """A repository whose services name their code with -m, and see no folder of it."""
    return laid_out(NAMING, tmp_path)


CHANGED = (
    "+++ {root}/dagster_workspace/workspace.yaml",
    "+      module_name: travel.dagster.definitions",
    "+++ {root}/docker-compose.yml",
    "+      - ./dagster_workspace:/opt/dagster_workspace",
    "-    - travel.dagster.definitions",
    "+    - /opt/dagster_workspace/workspace.yaml",
)


def missing(root: Path, text: str) -> list[str]:
    return [line for line in CHANGED if line.format(root=root) not in text.splitlines()]


@pytest.mark.parametrize("arguments", [("--yes",), ("--dry-run",), ()])
def test_changed_commands_are_shown_in_full_and_need_a_flag(naming: Path, arguments: tuple[str, ...]) -> None:
    before = bytes_of(naming)
    done = typed(naming, *arguments)
    assert done.returncode == 1
    assert missing(naming, done.stderr) == []
    assert "--write-workspace-file" in done.stderr
    assert bytes_of(naming) == before


def test_with_the_flag_they_are_shown_and_changed_and_come_back(naming: Path) -> None:
    before = bytes_of(naming)
    tried = typed(naming, "--write-workspace-file", "--dry-run")
    assert (tried.returncode, missing(naming, tried.stdout)) == (0, [])
    assert bytes_of(naming) == before
    done = typed(naming, "--write-workspace-file", "--yes")
    assert (done.returncode, missing(naming, done.stdout)) == (0, [])
    assert "changed docker-compose.yml" in done.stdout
    undone = typed(naming, "--undo", "--yes")
    assert undone.returncode == 0, undone.stderr
    assert "changed docker-compose.yml" in undone.stdout
    assert "removed dagster_workspace/workspace.yaml" in undone.stdout
    assert bytes_of(naming) == before
    assert not (naming / "dagster_workspace").exists()


def test_programs_get_the_offer_as_data(naming: Path) -> None:
    done = typed(naming, "--json")
    said = json.loads(done.stdout)
    assert done.returncode == 1
    assert missing(naming, said["offered"]) == []
    assert {change["service"] for change in said["command_changes"]} == {"page", "clock"}
    assert said["proposed_mount"] == "/opt/dagster_workspace"


def test_a_person_at_a_terminal_is_asked(naming: Path) -> None:
    answered = at_a_terminal(naming, b"y\ny\n")
    assert "Make the file, and change the commands?" in answered
    assert missing(naming, answered) == []
    assert (naming / "dagster_workspace/workspace.yaml").is_file()


def test_a_person_at_a_terminal_who_says_no_has_changed_nothing(naming: Path) -> None:
    before = bytes_of(naming)
    assert "--write-workspace-file" in at_a_terminal(naming, b"n\n")
    assert bytes_of(naming) == before


def at_a_terminal(root: Path, answers: bytes) -> str:
    """Type the command at a terminal without colours, and return what is on its screen."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [needs.program("dagster-module-builder"), "workspace.adopt", str(root)],
        cwd=root, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    os.close(theirs)
    os.write(ours, answers)
    screen = b""
    with contextlib.suppress(OSError):  # EIO: the other end is closed.
        while chunk := os.read(ours, 65536):
            screen += chunk
    os.close(ours)
    process.wait(60)
    return screen.decode().replace("\r\n", "\n")
