"""Backups: listed, and restored by a plan that is itself backed up."""

from __future__ import annotations

import contextlib
import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.base.layout import layout_of
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
        raise RefusedError(f"There is no backup {identity!r}. 'workspace.backups' lists them.")
    return layout_of(root).backups / identity


def _read(root: Path, identity: str) -> Backup:
    files = tuple(str(file["path"]) for file in _contents(root, identity))
    made_at = backup_time(identity)
    if made_at is None:
        raise RefusedError(f"{identity!r} is not a backup.")
    return Backup(identity, made_at, files)


def _contents(root: Path, identity: str) -> list[dict[str, str | None]]:
    return list(_whole(root, identity)["files"])


def kept_file(root: Path, identity: str, path: str) -> bytes | None:
    """Return a file's bytes in a backup, by its path from the workspace's root; None if the backup does not have it."""
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
        raise RefusedError(f"{path} is damaged, so this backup cannot be restored.") from None
    return whole


def restore(root: Path, identity: str, *, dry_run: bool = False) -> tuple[Plan, str | None]:
    """Restore a backup's files by a plan that is itself backed up; return the plan and the new backup's id.

    Files get back their modes, read-only ones too. Folders that are gone are made again, with their modes.

    Raises:
        RefusedError: There is no such backup, or a file cannot be written. Nothing was changed.
    """

    def work() -> tuple[Plan, str | None]:
        whole = _whole(root, identity)
        plan = Plan(tuple(_change(root, identity, file) for file in whole["files"]))
        if dry_run:
            return plan, None
        with _folders_as_before(root, whole.get("folders", {})):
            return plan, commit(root, plan)

    return under_lock(root, work, changes=not dry_run)


@contextlib.contextmanager
def _folders_as_before(root: Path, modes: dict[str, int]) -> Iterator[None]:
    """Make folders writable meanwhile, then give them the backup's modes; after a failure, their present ones."""
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
