"""Backups: the old bytes of all files of a commit, kept for a week."""

from __future__ import annotations

import json
import shutil
import stat
from datetime import datetime, timedelta, timezone
from pathlib import Path

from dagster_module_builder.transactions.control_files import ControlFiles
from dagster_module_builder.transactions.plan import FileChange
from dagster_module_builder.transactions.synced_files import sync_folder, write_synced
from dagster_module_builder.transactions.targets import folders, relative_path

#: How long backups are kept.
BACKUP_AGE = timedelta(days=7)

_ID_FORMAT = "%Y%m%dT%H%M%S.%fZ"


def back_up(control: ControlFiles, targets: list[FileChange]) -> str:
    """Keep the bytes and modes of all files before a commit; return the backup's id: "20260102T030405.678901Z"."""
    identity = datetime.now(timezone.utc).strftime(_ID_FORMAT)
    control.backups.mkdir(mode=0o700, parents=True, exist_ok=True)
    staged = control.backups / f".{identity}.tmp"
    staged.mkdir(mode=0o700)
    files = []
    for number, change in enumerate(targets):
        held = None
        if change.before is not None:
            held = f"{number}-{change.path.name}"
            write_synced(staged / held, change.before, stat.S_IMODE(change.path.stat().st_mode))
        files.append({"path": relative_path(control, change), "held": held})
    contents = {"id": identity, "files": files, "folders": _folder_modes(control, targets)}
    write_synced(staged / "backup.json", json.dumps(contents).encode(), 0o600)
    sync_folder(staged)
    staged.rename(control.backups / identity)
    sync_folder(control.backups)
    return identity


def _folder_modes(control: ControlFiles, targets: list[FileChange]) -> dict[str, int]:
    root = control.root.resolve()
    existing = (folder for folder in folders(control, targets) if folder.is_dir())
    return {str(folder.relative_to(root)): stat.S_IMODE(folder.stat().st_mode) for folder in existing}


def backup_ids(root: Path) -> list[str]:
    """Return the ids of the backups, oldest first."""
    folder = ControlFiles(root).backups
    return sorted(entry.name for entry in folder.iterdir() if backup_time(entry.name)) if folder.is_dir() else []


def backup_time(identity: str) -> datetime | None:
    """Return when a backup was made, or None if this is no backup's id."""
    try:
        return datetime.strptime(identity, _ID_FORMAT).replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def prune_backups(root: Path, now: datetime | None = None) -> list[str]:
    """Remove backups older than a week, but never the newest; return their ids."""
    oldest = (now or datetime.now(timezone.utc)) - BACKUP_AGE
    folder = ControlFiles(root).backups
    pruned = [name for name in backup_ids(root)[:-1] if (made := backup_time(name)) and made < oldest]
    for name in pruned:
        shutil.rmtree(folder / name, ignore_errors=True)
    for leftover in folder.glob(".*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)
    return pruned
