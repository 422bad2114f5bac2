"""What a release consists of: its manifest, and the rights to its files."""

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

#: Files that a release holds beside the module's own.
OWN_FILES = ("RELEASE.json", "manifest.sha256")

PART = 1 << 20


class Hashes:
    """The hashes of a release's files, taken while the next release's travel: those are the same files, where linked.

    A file is known again by its inode, size and time. One that is not is read when it is asked for.
    """

    def __init__(self, folder: str | None = None) -> None:
        self.folder = folder
        self.found: dict[tuple[int, int, int, int], str] = {}
        self.over = threading.Event()
        self.taking = threading.Thread(target=self.take, args=(folder,), daemon=True)
        if folder is not None:
            self.taking.start()

    def take(self, folder: str) -> None:
        """Read everything below a folder, until somebody needs what was found."""
        with contextlib.suppress(OSError):
            for path, _, found in below(folder):
                if self.over.is_set():
                    return
                if stat.S_ISREG(found.st_mode):
                    self.found[seal(found)] = content_hash(path)

    def stop(self) -> None:
        """Stop taking, since both would read the same files."""
        self.over.set()
        if self.taking.is_alive():
            self.taking.join()

    def of(self, path: str, found: os.stat_result) -> str:
        """Return a file's hash."""
        return self.found.get(seal(found)) or content_hash(path)


def seal(found: os.stat_result) -> tuple[int, int, int, int]:
    """Return what tells that a file is still the one that was read."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def content_hash(path: str) -> str:
    """Return the SHA-256 of a file's bytes."""
    found = hashlib.sha256()
    handle = os.open(path, os.O_RDONLY)
    try:
        size = min(os.fstat(handle).st_size, PART) or PART
        for part in iter(lambda: os.read(handle, size), b""):
            found.update(part)
    finally:
        os.close(handle)
    return found.hexdigest()


def below(folder: str, inside: str = "") -> Iterator[tuple[str, str, os.stat_result]]:
    """Yield everything below a folder: where it is, its path in the folder, and what it is."""
    with os.scandir(folder) as found:
        for one in found:
            yield one.path, inside + one.name, one.stat(follow_symlinks=False)
            if one.is_dir(follow_symlinks=False):
                yield from below(one.path, f"{inside}{one.name}/")


def manifest(folder: str, hashes: Hashes) -> str:
    """Return a line for each entry below a folder, by path: hash, kind, path. The client writes the same."""
    return "".join(
        sorted(
            entry(path, relative, found, hashes)
            for path, relative, found in below(folder)
            if relative not in OWN_FILES and not stat.S_ISDIR(found.st_mode)
        )
    )


def entry(path: str, relative: str, found: os.stat_result, hashes: Hashes) -> str:
    """Return the manifest's line for one file or link."""
    if stat.S_ISLNK(found.st_mode):
        return f"{hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest()} l {json.dumps(relative)}\n"
    kind = "x" if found.st_mode & 0o100 else "f"
    return f"{hashes.of(path, found)} {kind} {json.dumps(relative)}\n"


def brief(line: str) -> str:
    """Return a manifest's line with twelve digits of the hash, enough to tell two versions of one file apart.

    Hashes are what makes a manifest long on its way. Where two were alike by chance, the whole ones tell in the end.
    """
    return line[:12] + line[64:]


def path_of(line: str) -> str:
    """Return the path in a manifest's line."""
    found: str = json.loads(line.split(" ", 2)[2])
    return found


def make_read_only(folder: str) -> None:
    """Take the right to write from everything below a folder, and let everybody read it."""
    for path, _, found in below(folder):
        mode = stat.S_IMODE(found.st_mode)
        if stat.S_ISDIR(found.st_mode):
            os.chmod(path, 0o555)  # noqa: S103 - code, which everybody may read
        elif not stat.S_ISLNK(found.st_mode):
            wanted = (mode | 0o444 | (0o111 if mode & 0o100 else 0)) & ~0o222
            if mode != wanted:
                os.chmod(path, wanted)
    os.chmod(folder, 0o555)  # noqa: S103 - code, which everybody may read
