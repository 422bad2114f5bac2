"""A release's manifest, which lists its files with their hashes, and the modes of its files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: Files that deployments add to a release.
OWN_FILES = ("RELEASE.json", "manifest.sha256")

PART = 1 << 20


class Hashes:
    """The hashes of a release's files, computed while the next release arrives, which links many of them.

    A file is recognized by its inode, size and time; another file is read when its hash is needed.
    """

    def __init__(self, folder: str | None = None) -> None:
        self.folder = folder
        self.known: dict[tuple[int, int, int, int], str] = {}
        self.over = threading.Event()
        self.taking = threading.Thread(target=self.take, args=(folder,), daemon=True)
        if folder is not None:
            self.taking.start()

    def take(self, folder: str) -> None:
        """Hash all files below a folder, until ``stop`` is called."""
        with contextlib.suppress(OSError):
            for path, _, status in below(folder):
                if self.over.is_set():
                    return
                if stat.S_ISREG(status.st_mode):
                    self.known[seal(status)] = content_hash(path)

    def stop(self) -> None:
        """Stop hashing, so that no file is read twice."""
        self.over.set()
        if self.taking.is_alive():
            self.taking.join()

    def of(self, path: str, status: os.stat_result) -> str:
        """Return a file's hash."""
        return self.known.get(seal(status)) or content_hash(path)


def seal(status: os.stat_result) -> tuple[int, int, int, int]:
    """Return the values by which an unchanged file is recognized."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def content_hash(path: str) -> str:
    """Return the SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    handle = os.open(path, os.O_RDONLY)
    try:
        size = min(os.fstat(handle).st_size, PART) or PART
        for part in iter(lambda: os.read(handle, size), b""):
            digest.update(part)
    finally:
        os.close(handle)
    return digest.hexdigest()


def below(folder: str, inside: str = "") -> Iterator[tuple[str, str, os.stat_result]]:
    """Yield everything below a folder: its path, its path relative to the folder, and its status."""
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.path, inside + entry.name, entry.stat(follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False):
                yield from below(entry.path, f"{inside}{entry.name}/")


def manifest(folder: str, hashes: Hashes) -> str:
    """Return a line for each file and link below a folder: hash, kind, path. The client computes the same text."""
    return "".join(
        sorted(
            entry(path, relative, status, hashes)
            for path, relative, status in below(folder)
            if relative not in OWN_FILES and not stat.S_ISDIR(status.st_mode)
        )
    )


def entry(path: str, relative: str, status: os.stat_result, hashes: Hashes) -> str:
    """Return the manifest's line for a file or a link: ``e3b0… f "src/sales.py"``."""
    if stat.S_ISLNK(status.st_mode):
        return f"{hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest()} l {json.dumps(relative)}\n"
    kind = "x" if status.st_mode & 0o100 else "f"
    return f"{hashes.of(path, status)} {kind} {json.dumps(relative)}\n"


def brief(line: str) -> str:
    """Return a manifest's line with twelve digits of the hash, enough to tell two versions of one file apart.

    Whole hashes would make most of a manifest's size. They are compared in the end, in case two brief ones are equal.
    """
    return line[:12] + line[64:]


def path_of(line: str) -> str:
    """Return the path in a manifest's line: ``e3b0… f "src/sales.py" -> "src/sales.py"``."""
    path: str = json.loads(line.split(" ", 2)[2])
    return path


def make_read_only(folder: str) -> None:
    """Make everything below a folder read-only, and readable for all users."""
    for path, _, status in below(folder):
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISDIR(status.st_mode):
            os.chmod(path, 0o555)  # noqa: S103 - code, which all users may read
        elif not stat.S_ISLNK(status.st_mode):
            wanted = (mode | 0o444 | (0o111 if mode & 0o100 else 0)) & ~0o222
            if mode != wanted:
                os.chmod(path, wanted)
    os.chmod(folder, 0o555)  # noqa: S103 - code, which all users may read
