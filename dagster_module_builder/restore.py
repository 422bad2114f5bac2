"""Backups: which there are, and one put back as a plan of its own."""

from __future__ import annotations

import json
import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dagster_module_builder import settings
from dagster_module_builder.errors import RefusedError
from dagster_module_builder.plan import FileChange, Plan
from dagster_module_builder.transaction import backup_ids, backup_time, commit, locked


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
    path = _folder(root, identity) / "backup.json"
    try:
        return list(json.loads(path.read_bytes())["files"])
    except (OSError, ValueError, KeyError, TypeError):
        raise RefusedError(f"{path} is damaged: this backup cannot be put back.") from None


def restore(root: Path, identity: str, *, dry_run: bool = False) -> tuple[Plan, str | None]:
    """Put a backup's files back, as a plan that is itself backed up; return the plan and the new backup's id.

    Raises:
        RefusedError: There is no such backup, or a file cannot be written. Nothing was changed.
    """
    with locked(root):
        plan = Plan(tuple(_change(root, identity, file) for file in _contents(root, identity)))
        return plan, None if dry_run else commit(root, plan)


def _change(root: Path, identity: str, file: dict[str, str | None]) -> FileChange:
    path = root / str(file["path"])
    held = _folder(root, identity) / file["held"] if file["held"] else None
    before = path.read_bytes() if path.is_file() else None
    after = held.read_bytes() if held else None
    return FileChange(path, before, after, stat.S_IMODE(held.stat().st_mode) if held else 0o644)
