"""Files that are put in place whole, and links that change in one step."""

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


#: What a file is called, beside its place, until it is whole.
STAGED = ".deploy.tmp"


def digest(text: bytes | None) -> str | None:
    """Return the SHA-256 of bytes, or None where there are none."""
    return None if text is None else hashlib.sha256(text).hexdigest()


def read(path: str) -> bytes | None:
    """Return a file's bytes, or None where there is no file."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_json(path: str, otherwise: Any = None) -> Any:
    """Return a JSON file's content."""
    text = read(path)
    try:
        return otherwise if text is None else json.loads(text)
    except ValueError:
        raise RefusedError("damaged", f"{path} on the host is not JSON: fix or remove it.") from None


def write(path: str, text: bytes, mode: int = 0o644) -> None:
    """Put a file in place by a rename, after its bytes are on the disk, and have the rename there too."""
    put(path, text, mode)
    sync(os.path.dirname(path))


def put(path: str, text: bytes, mode: int = 0o644, *, lasting: bool = True) -> None:
    """Put a file in place by a rename; where it is to last, after its bytes are on the disk."""
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
    """Give a file's owner to the one that replaces it."""
    with contextlib.suppress(FileNotFoundError, PermissionError):
        there = os.stat(path)
        if (there.st_uid, there.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(staged, there.st_uid, there.st_gid)


def is_mounted_singly(path: str) -> bool:
    """Tell whether a file is a mount point: rename(2) has EBUSY for it.

    Where it is bound to a file of the same file system, only the kernel's list of mounts says so (proc(5)).
    """
    listed = read("/proc/self/mountinfo")
    if listed is None:
        return os.path.ismount(path)
    escaped = os.fsencode(path)
    for character in b"\\ \t\n":
        escaped = escaped.replace(bytes([character]), b"\\%03o" % character)
    return escaped in (line.split()[4] for line in listed.splitlines())


def set_aside(folder: str, name: str) -> None:
    """Give a folder another name, or remove it at once where it cannot have one.

    A mount point cannot be renamed (EBUSY), nor can a folder of a lower layer of overlayfs (EXDEV).
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
    """Have a folder's entries on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def lasting(folder: str) -> Iterator[None]:
    """Have all files below a folder on the disk in the end, as rsync, git and tar do not; work goes on meanwhile."""
    try:
        process = subprocess.Popen(
            ["sync", "-f", folder], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    except OSError:
        process = None
    try:
        yield
    finally:
        # One that is not GNU's knows no file systems.
        if process is None or process.wait():
            os.sync()


def remove_tree(path: str) -> None:
    """Remove a folder, read-only or not."""
    if os.path.islink(path) or not os.path.isdir(path):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    for folder, _, _ in os.walk(path):
        with contextlib.suppress(OSError):
            os.chmod(folder, 0o700)
    with contextlib.suppress(FileNotFoundError):  # Another one removes it too.
        shutil.rmtree(path)


def remove_later(path: str) -> None:
    """Remove a folder without waiting for it; what is left of it after an early end is removed by the next command."""
    # Only folders need the right: files share it, by hard links, with the releases that stay.
    command = ["/bin/sh", "-c", 'find "$1" -type d -exec chmod u+w {} +; rm -rf "$1"', "sh", path]
    nowhere = subprocess.DEVNULL
    subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True)


def point(link: str, target: str | None) -> None:
    """Let a symbolic link point to a target, in one step; None takes it away."""
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
    """Return where a link points, or None."""
    try:
        return os.readlink(link)
    except OSError:
        return None


def now() -> str:
    """Return the time, in UTC and for people."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
