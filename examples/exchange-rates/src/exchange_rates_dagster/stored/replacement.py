"""Replaces a file, or an object, by a complete new one; a writer that is killed leaves nothing for good.

A new file is written under another name, beside the old one, and locked while its writer lives. The next writer in the
folder removes those that no process locks. Objects are written to a file in the temporary folder, and then uploaded.
"""

import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from fsspec.implementations.local import LocalFileSystem
from upath import UPath

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # Windows: only the age of a file shows that its writer is gone.
    flock = None  # type: ignore[assignment]

SUFFIX = ".writing"

#: Files of earlier versions of this module, and of systems without locks, are left over after so many seconds.
LEFT_OVER = {".tmp": 86_400, SUFFIX: 7 * 86_400}

OWN_NAME = re.compile(r"\.[0-9a-f]{32}")

#: A writer locks its file at once; so long, an unlocked one is taken for a new one.
SECONDS_TO_LOCK = 10


@contextmanager
def replacement(path: UPath) -> Iterator[Path]:
    """Yield a local file to write; it replaces ``path`` when it is complete.

    A rename within a folder is atomic, and so is the upload of one object.
    """
    is_local = isinstance(path.fs, LocalFileSystem)
    target = Path(path.path)
    with _new_file(target.parent if is_local else Path(tempfile.gettempdir())) as written:
        yield written
        if is_local:
            written.replace(target)
        else:
            path.fs.put_file(str(written), path.path)


@contextmanager
def _new_file(folder: Path) -> Iterator[Path]:
    _remove_left_over(folder)
    file = folder / f".{uuid4().hex}{SUFFIX}"
    descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
    try:
        if flock is None:
            os.close(descriptor)  # An open file cannot be renamed there.
        else:
            _is_locked(descriptor)
        yield file
    finally:
        if flock is not None:
            os.close(descriptor)
        file.unlink(missing_ok=True)


def _is_locked(descriptor: int) -> bool | None:
    """Lock an open file; return whether that was possible, None if the file system has no locks."""
    if flock is None:
        return None
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _remove_left_over(folder: Path) -> None:
    """Remove the files of writers that were killed."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") and entry.name.endswith((*LEFT_OVER,)) and _is_left_over(Path(entry.path)):
                Path(entry.path).unlink(missing_ok=True)


def _is_left_over(file: Path) -> bool:
    try:
        state = file.lstat()
        age = time.time() - state.st_mtime
        if not stat.S_ISREG(state.st_mode) or not OWN_NAME.fullmatch(file.stem) or age < SECONDS_TO_LOCK:
            return False
        if age > LEFT_OVER[file.suffix]:
            return True
        if file.suffix != SUFFIX:
            return False
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return False
    try:
        return _is_locked(descriptor) is True
    finally:
        os.close(descriptor)
