"""Backups: which there are, and one put back as a plan of its own."""

from __future__ import annotations

import contextlib
import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.transactions.backups import backup_ids, backup_time
from dagster_module_builder.transactions.plan import FileChange, Plan
from dagster_module_builder.transactions.reading import under_lock
from dagster_module_builder.transactions.transaction import commit


@dataclass(frozen=True)
class Backup:
    """What the files were before one command."""

    identity: str
    made_at: datetime
    files: tuple[str, ...]


def backups(root: Path) -> list[Backup]:
    """Return the backups, oldest first."""
    return [_read(root, identity) for identity in backup_ids(root)]


def _folder(root: Path, identity: str) -> Path:
    if identity not in backup_ids(root):
        raise RefusedError(f"There is no backup {identity!r}: see 'workspace.backups'.")
    return root / settings.BACKUPS / identity


def _read(root: Path, identity: str) -> Backup:
    files = tuple(str(file["path"]) for file in _contents(root, identity))
    made_at = backup_time(identity)
    if made_at is None:
        raise RefusedError(f"{identity!r} is no backup.")
    return Backup(identity, made_at, files)


def _contents(root: Path, identity: str) -> list[dict[str, str | None]]:
    return list(_whole(root, identity)["files"])


def kept_file(root: Path, identity: str, path: str) -> bytes | None:
    """Return what a backup has of a file, named by its path from the workspace's root; None where it has none."""
    with contextlib.suppress(RefusedError, OSError):
        for file in _contents(root, identity):
            if file["path"] == path and file["held"]:
                return (_folder(root, identity) / file["held"]).read_bytes()
    return None


def _whole(root: Path, identity: str) -> dict[str, Any]:
    path = _folder(root, identity) / "backup.json"
    try:
        whole: dict[str, Any] = json.loads(path.read_bytes())
        list(whole["files"])
    except (OSError, ValueError, KeyError, TypeError):
        raise RefusedError(f"{path} is damaged: this backup cannot be put back.") from None
    return whole


def restore(root: Path, identity: str, *, dry_run: bool = False) -> tuple[Plan, str | None]:
    """Put a backup's files back, as a plan that is itself backed up; return the plan and the new backup's id.

    Files have the modes that they had, read-only ones too; folders that are gone are made again, with theirs.

    Raises:
        RefusedError: There is no such backup, or a file cannot be written. Nothing was changed.
    """

    def work(_recovered: list[str]) -> tuple[Plan, str | None]:
        whole = _whole(root, identity)
        plan = Plan(tuple(_change(root, identity, file) for file in whole["files"]))
        if dry_run:
            return plan, None
        with _folders_as_before(root, whole.get("folders", {})):
            return plan, commit(root, plan)

    return under_lock(root, work, changes=not dry_run)


@contextlib.contextmanager
def _folders_as_before(root: Path, modes: dict[str, int]) -> Iterator[None]:
    """Let folders be written to meanwhile, and give them the modes that they had; those of now where that fails."""
    paths = {root / name: mode for name, mode in modes.items()}
    now = {path: stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_dir() and not path.is_symlink()}
    for path, mode in now.items():
        if not mode & stat.S_IWUSR:
            path.chmod(mode | stat.S_IRWXU)
    wanted = now
    try:
        yield
        wanted = {path: mode for path, mode in paths.items() if path.is_dir() and not path.is_symlink()}
    finally:
        for path, mode in reversed(wanted.items()):
            if stat.S_IMODE(path.stat().st_mode) != mode:
                path.chmod(mode)


def _change(root: Path, identity: str, file: dict[str, str | None]) -> FileChange:
    path = root / str(file["path"])
    held = _folder(root, identity) / file["held"] if file["held"] else None
    before = path.read_bytes() if path.is_file() else None
    after = held.read_bytes() if held else None
    mode = stat.S_IMODE(held.stat().st_mode) if held else 0o644
    now = stat.S_IMODE(path.stat().st_mode) if path.is_file() else mode
    return FileChange(path, before, after, mode, (now, mode) if held and now != mode else None)
