"""A backup that is put back gives back all of it: bytes, modes, folders."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.transactions.lock import locked
from dagster_module_builder.transactions.plan import FileChange, Plan
from dagster_module_builder.transactions.transaction import commit
from dagster_module_builder.workspaces.restore import restore
from tests.engine.folders import make_workspace


@pytest.fixture
def backed_up(tmp_path: Path) -> tuple[Path, Path, str]:
    """Give a workspace, a file of a module that a command replaced, and the backup of what it was."""
    root = make_workspace(tmp_path / "workspace")
    path = root / "projects/seo/docs/notes/plan.md"
    path.parent.mkdir(parents=True)
    path.parent.chmod(0o750)
    path.write_text("old")
    path.chmod(0o640)
    with locked(root):
        backup = commit(root, Plan((FileChange(path, b"old", b"new"),)))
    assert backup
    return root, path, backup


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("now", [0o400, 0o755])
def test_modes_come_back(backed_up: tuple[Path, Path, str], now: int) -> None:
    """FAULTS B6: also those of read-only files, and where the bytes are as they were."""
    root, path, backup = backed_up
    path.write_text("old")
    path.chmod(now)
    plan, _ = restore(root, backup, dry_run=True)
    assert f"mode {now:o} becomes 640" in plan.diff()
    assert mode(path) == now
    restore(root, backup)
    assert mode(path) == 0o640
    assert path.read_text() == "old"


def test_folders_that_are_gone_come_back(backed_up: tuple[Path, Path, str]) -> None:
    """FAULTS B6: an upgrade or a person took the folder away; and the way back from there is the same."""
    root, path, backup = backed_up
    shutil.rmtree(root / "projects/seo")
    _, undo = restore(root, backup)
    assert path.read_text() == "old"
    assert (mode(path), mode(path.parent)) == (0o640, 0o750)
    assert undo
    restore(root, undo)
    assert not path.exists()


def test_folders_that_are_read_only_come_back(backed_up: tuple[Path, Path, str]) -> None:
    """FAULTS B6: a folder's mode is given back as well."""
    root, path, backup = backed_up
    path.parent.chmod(0o500)
    restore(root, backup)
    assert (path.read_text(), mode(path.parent)) == ("old", 0o750)


def test_folders_of_a_commit_that_failed_go_again(backed_up: tuple[Path, Path, str]) -> None:
    """FAULTS B6: all or nothing holds for the folders, too."""
    root, path, backup = backed_up
    shutil.rmtree(root / "projects/seo")
    changed = FileChange(root / "services/dagster/.env", b"not the present one", b"new")
    with locked(root), pytest.raises(BuilderError, match="restored from its backup"):
        commit(root, Plan((FileChange(path, None, b"new"), changed)))
    assert not (root / "projects/seo").exists()
    assert backup
