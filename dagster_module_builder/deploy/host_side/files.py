"""Files that appear as a whole or not at all, and links that change in one step."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import subprocess
import time

from .errors import RefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


#: Added to a file's name until it is complete.
STAGED = ".deploy.tmp"


def digest(text: bytes | None) -> str | None:
    """Return the SHA-256 of bytes; None for None."""
    return None if text is None else hashlib.sha256(text).hexdigest()


def read(path: str) -> bytes | None:
    """Return a file's bytes; None if there is no file."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_json(path: str, otherwise: Any = None) -> Any:
    """Return a JSON file's content; ``otherwise`` if there is no file."""
    text = read(path)
    try:
        return otherwise if text is None else json.loads(text)
    except ValueError:
        raise RefusedError("damaged", f"{path} on the host is not valid JSON: fix it or delete it.") from None


def write(path: str, text: bytes, mode: int = 0o644) -> None:
    """Put a file in place by a rename, with its bytes and the rename safely on the disk."""
    put(path, text, mode)
    sync(os.path.dirname(path))


def put(path: str, text: bytes, mode: int = 0o644, *, lasting: bool = True) -> None:
    """Put a file in place by a rename; if it is ``lasting``, after its bytes are safely on the disk."""
    staged = path + STAGED
    with contextlib.suppress(FileNotFoundError):
        os.unlink(staged)
    handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, mode)
            file.write(text)
            file.flush()
            if lasting:
                os.fsync(handle)
        keep_owner(path, staged)
        os.rename(staged, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(staged)
        raise


def keep_owner(path: str, staged: str) -> None:
    """Give the replacement of a file the same owner."""
    with contextlib.suppress(FileNotFoundError, PermissionError):
        old = os.stat(path)
        if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(staged, old.st_uid, old.st_gid)


def is_mounted_singly(path: str) -> bool:
    """Tell whether a file is a mount point, for which rename(2) fails with EBUSY.

    If it is bound to a file of the same file system, only the kernel's list of mounts shows that (proc(5)).
    """
    listed = read("/proc/self/mountinfo")
    if listed is None:
        return os.path.ismount(path)
    escaped = os.fsencode(path)
    for character in b"\\ \t\n":
        escaped = escaped.replace(bytes([character]), b"\\%03o" % character)
    return escaped in (line.split()[4] for line in listed.splitlines())


def set_aside(folder: str, name: str) -> None:
    """Rename a folder, or remove it if it cannot be renamed.

    A mount point cannot be renamed (EBUSY), nor can a folder in a lower layer of overlayfs (EXDEV).
    """
    remove_tree(name)
    try:
        os.rename(folder, name)
    except OSError as error:
        if error.errno not in {errno.EXDEV, errno.EBUSY}:
            raise
        remove_tree(folder)
    sync(os.path.dirname(folder))


def sync(folder: str) -> None:
    """Flush a folder's entries to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def lasting(folder: str) -> Iterator[None]:
    """Flush all files below a folder to the disk while the block runs; rsync, git and tar do not do so."""
    try:
        process = subprocess.Popen(
            ["sync", "-f", folder], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    except OSError:
        process = None
    try:
        yield
    finally:
        # Only GNU's sync has -f.
        if process is None or process.wait():
            os.sync()


def remove_tree(path: str) -> None:
    """Remove a file or a folder, even a read-only one."""
    if os.path.islink(path) or not os.path.isdir(path):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    for folder, _, _ in os.walk(path):
        with contextlib.suppress(OSError):
            os.chmod(folder, 0o700)
    with contextlib.suppress(FileNotFoundError):  # Another process removes it, too.
        shutil.rmtree(path)


def remove_later(path: str) -> None:
    """Remove a folder in the background; the next command removes what an early end leaves."""
    # Only folders become writable: files share their mode, by hard links, with the releases that stay.
    command = ["/bin/sh", "-c", 'find "$1" -type d -exec chmod u+w {} +; rm -rf "$1"', "sh", path]
    nowhere = subprocess.DEVNULL
    subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True)


def point(link: str, target: str | None) -> None:
    """Point a symbolic link to a target, in one step; None removes the link."""
    if target is None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(link)
        return
    staged = link + STAGED
    with contextlib.suppress(FileNotFoundError):
        os.unlink(staged)
    os.symlink(target, staged)
    os.rename(staged, link)


def target_of(link: str) -> str | None:
    """Return the target of a link; None if there is no link."""
    try:
        return os.readlink(link)
    except OSError:
        return None


def now() -> str:
    """Return the time in UTC: ``2026-01-31T12:00:00Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
