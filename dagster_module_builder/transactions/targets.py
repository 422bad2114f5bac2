"""The files that a commit replaces: behind links, inside of the workspace, and writable."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.transactions.control_files import ControlFiles
from dagster_module_builder.transactions.plan import FileChange


def target_of(root: Path, change: FileChange) -> FileChange:
    """Return the change with its path behind all symbolic links.

    Raises:
        RefusedError: The link is broken, or leads out of the workspace.
    """
    try:
        real = change.path.resolve()
    except (OSError, RuntimeError):  # Python before 3.13 has its own error for links in a circle.
        raise RefusedError(f"{change.path} is a broken link. Nothing was changed.") from None
    if not real.is_relative_to(root.resolve()):
        raise RefusedError(f"{change.path} leads out of the workspace, to {real}. Nothing was changed.")
    return replace(change, path=real)


def refuse_unwritable(targets: list[FileChange]) -> None:
    """Look whether each file can be replaced by a rename.

    Raises:
        RefusedError: One is read-only, has several hard links, or is a mount point.
    """
    for change in targets:
        checked = change.path if change.path.exists() else _nearest_folder(change.path)
        read_only = change.path.exists() and not stat.S_IMODE(change.path.stat().st_mode) & 0o200
        if change.chmod:  # A plan that changes its mode knows it; what is replaced by a rename need not be writable.
            read_only, checked = False, change.path.parent
        if read_only or not os.access(checked, os.W_OK):
            raise RefusedError(f"{change.path} is read-only. Nothing was changed.")
        if change.path.exists() and change.path.stat().st_nlink > 1:
            raise RefusedError(
                f"{change.path} has several hard links, which would no longer be one file. Nothing was changed."
            )
        if _is_mounted_singly(change.path):
            reason = "is mounted as a single file, which cannot be replaced"
            raise RefusedError(f"{change.path} {reason}. Nothing was changed.")


def _is_mounted_singly(path: Path) -> bool:
    """Return whether a file is a mount point.

    Where it is bound to a file of the same file system, only the kernel's list of mounts says so (proc(5)).
    """
    mounts = Path("/proc/self/mountinfo")
    if not mounts.exists():
        return os.path.ismount(path)
    escaped = os.fsencode(path)
    for character in b"\\ \t\n":
        escaped = escaped.replace(bytes([character]), b"\\%03o" % character)
    return escaped in (line.split()[4] for line in mounts.read_bytes().splitlines())


def _nearest_folder(path: Path) -> Path:
    """Return the innermost folder of a path that exists."""
    return next(folder for folder in path.parents if folder.exists())


def folders(control: ControlFiles, targets: list[FileChange]) -> list[Path]:
    """Return the folders below the root that the files are in, outer folders first."""
    root = control.root.resolve()
    return sorted({folder for change in targets for folder in change.path.parents if root in folder.parents})


def relative_path(control: ControlFiles, change: FileChange) -> str:
    """Return a file's path below the root, as journals and backups note it."""
    return str(change.path.relative_to(control.root.resolve()))
