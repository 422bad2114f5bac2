"""One file of a plan replaced by one rename, or put back."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.transactions.plan import FileChange
from dagster_module_builder.transactions.synced_files import TEMPORARY, read, sync_folder, write_synced


class ChangedMeanwhileError(BuilderError):
    """A file was written between plan and commit."""


def replace_file(change: FileChange) -> None:
    """Give a file its new bytes, mode and owner by one rename.

    Raises:
        ChangedMeanwhileError: The file is no longer as the plan saw it; it was left alone.
        OSError: The file could not be written.
    """
    staged = change.path.with_name(change.path.name + TEMPORARY)
    if change.after is not None:
        _stage(staged, change)
    if read(change.path) != change.before:
        staged.unlink(missing_ok=True)
        raise ChangedMeanwhileError(f"{change.path} was changed by another program while this command ran.")
    if change.after is None:
        change.path.unlink()
    else:
        staged.rename(change.path)
    sync_folder(change.path.parent)


def _stage(staged: Path, change: FileChange) -> None:
    if change.after is None:
        return
    old = change.path.stat() if change.path.exists() else None
    kept = stat.S_IMODE(old.st_mode) if old else change.mode
    write_synced(staged, change.after, change.chmod[1] if change.chmod else kept)
    if old and (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(staged, old.st_uid, old.st_gid)


def put_back(path: Path, held: Path | None) -> None:
    """Give a file the bytes and the mode that its backup holds, or remove it where it has none."""
    now = read(path)
    if held is None:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    else:
        mode = stat.S_IMODE(held.stat().st_mode)
        modes = (stat.S_IMODE(path.stat().st_mode), mode) if now is not None else None
        replace_file(FileChange(path, now, held.read_bytes(), mode, modes))
