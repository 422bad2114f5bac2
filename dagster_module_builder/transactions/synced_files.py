"""Files that are on the disk when a call returns: written, read, told apart by their digest."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

#: What the name of a file ends with until it is renamed to its control.
TEMPORARY = ".dagster-module-builder.tmp"


def digest(text: bytes | None) -> str | None:
    """Return the SHA-256 of a file's bytes, or None for a file that does not exist."""
    return None if text is None else hashlib.sha256(text).hexdigest()


def read(path: Path) -> bytes | None:
    """Return a file's bytes, or None where there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def write_synced(path: Path, text: bytes, mode: int) -> None:
    """Write a new file with these permissions, and return when its bytes are on the disk (fsync(2))."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(handle, mode)
        file.write(text)
        file.flush()
        os.fsync(handle)


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def reason(error: OSError) -> str:
    """Return what failed, as a message begins: ``OSError(28, …)`` -> "/w/.env: No space left on device"."""
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
