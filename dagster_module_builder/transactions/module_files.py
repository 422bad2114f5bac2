"""The one door to the files of a module, which may come from a stranger.

A link could lead what is read, or written, to any file of the person's. So each part of a path is opened by itself,
below the folder that was opened before it, with ``O_NOFOLLOW`` (open(2)): nobody can put a link there in between.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.transactions.plan import FileChange

#: How much a file of a module may hold that is read as a whole, in bytes.
MOST_BYTES = 16 << 20
#: How many links a path may lead through, as in path_resolution(7).
MOST_LINKS = 40

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
#: Without ``O_NONBLOCK``, opening a FIFO waits for somebody to write.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PLAIN = "Put a plain file in its place."


class NotPlainError(RefusedError):
    """A path of a module leads through a link, or to what is no plain file."""


def read(root: Path, path: Path, most_bytes: int = MOST_BYTES) -> bytes | None:
    """Read a file below a folder; None where there is none. Links may lead to other files below that folder.

    Args:
        root: The module's folder, or that of its repository.
        path: The file.
        most_bytes: How much it may hold, in bytes.

    Raises:
        NotPlainError: A link leads out of the folder, or it is a device, a FIFO, a folder, or too large.
    """
    try:
        with _Way(root, path, follows=True).opened() as (folder, name):
            return _content(path, os.open(name, _FILE, dir_fd=folder), most_bytes)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno in {errno.ENXIO, errno.ELOOP}:
            raise NotPlainError(f"{path} is no plain file. {_PLAIN}") from None
        raise RefusedError(f"{path} cannot be read: {error.strerror}.") from None


def text(root: Path, path: Path) -> str | None:
    """Read a file as UTF-8; what is none becomes a replacement character. None where there is none.

    Raises:
        NotPlainError: As with ``read``.
    """
    found = read(root, path)
    return None if found is None else found.decode("utf-8", "replace")


def _content(path: Path, opened: int, most_bytes: int) -> bytes:
    # Python makes no file object of an open folder.
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise NotPlainError(f"{path} is no plain file. {_PLAIN}")
    with os.fdopen(opened, "rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise NotPlainError(f"{path} holds more than {most_bytes >> 20} MiB. Make it smaller, or remove it.")
    return content


def refuse_links(root: Path, path: Path) -> None:
    """Refuse a path that cannot be written below a folder, since a part of it is a link or no folder.

    Args:
        root: The module's folder, or that of its repository.
        path: What is to be written: a file, or a folder.

    Raises:
        NotPlainError: With the part.
    """
    with contextlib.suppress(FileNotFoundError), _Way(root, path, follows=False).opened():
        pass


def write(root: Path, path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file below a folder: beside its old form, which is then replaced. A file that is there keeps its mode.

    Args:
        root: The module's folder, or that of its repository.
        path: The file; folders on the way to it are made.
        content: What it gets.
        mode: The mode of a new file.

    Raises:
        NotPlainError: It is no plain file, or a part of the path is a link.
        RefusedError: It cannot be written.
    """
    with _writable(root, path) as (folder, name):
        _replace(folder, path, name, content, mode)


def commit(change: FileChange) -> None:
    """Carry out the change of a single file: one rename, which nothing can interrupt halfway.

    Args:
        change: What was planned; it says below which folder.

    Raises:
        RefusedError: The file is no longer as the plan saw it, or cannot be written; nothing was changed.
    """
    root = change.below or change.path.parent
    if not change.changes:
        return
    if read(root, change.path) != change.before:
        raise RefusedError(f"{change.path} was changed by another program while the command ran: nothing was changed.")
    if change.after is not None:
        write(root, change.path, change.after, change.mode)
        return
    with _writable(root, change.path) as (folder, name):
        os.unlink(name, dir_fd=folder)


def move_in(root: Path, made: Path, path: Path) -> None:
    """Move a folder that was just made to its place below another folder.

    Raises:
        RefusedError: A part of the path is a link, or there is something in its place.
    """
    with _writable(root, path) as (folder, name):
        os.rename(made, name, dst_dir_fd=folder)


@contextlib.contextmanager
def _writable(root: Path, path: Path) -> Iterator[tuple[int, str]]:
    try:
        with _Way(root, path, follows=False, makes=True).opened() as found:
            yield found
    except OSError as error:
        raise RefusedError(f"{path}: {error.strerror}: nothing was changed.") from None


def _replace(folder: int, path: Path, name: str, content: bytes, mode: int) -> None:
    staged = f".{name[:200]}.{secrets.token_hex(8)}.tmp"
    there = _plain_file(folder, path, name)
    opened = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    try:
        with os.fdopen(opened, "wb") as file:
            file.write(content)
            file.flush()
            if there is not None:
                _take_owner(opened, there)
            os.fchmod(opened, mode if there is None else stat.S_IMODE(there.st_mode))
            os.fsync(opened)
        os.rename(staged, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(staged, dir_fd=folder)
        raise
    os.fsync(folder)


def _take_owner(opened: int, there: os.stat_result) -> None:
    """Give a file the owner of the one that it replaces: the administrator's changes stay the person's files."""
    if (there.st_uid, there.st_gid) != (os.geteuid(), os.getegid()):
        with contextlib.suppress(PermissionError):
            os.fchown(opened, there.st_uid, there.st_gid)


def _plain_file(folder: int, path: Path, name: str) -> os.stat_result | None:
    """Return what is known of the file that is to be replaced; None where there is none."""
    try:
        there = os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(there.st_mode):
        raise NotPlainError(f"{path} is no plain file: nothing was changed. {_PLAIN}")
    if not there.st_mode & stat.S_IWUSR:
        raise RefusedError(f"{path} is read-only: nothing was changed.")
    if there.st_nlink > 1:
        raise RefusedError(f"{path} has several hard links, which a replacement would part: nothing was changed.")
    return there


@dataclass
class _Way:
    """The way from a folder down to a path.

    Attributes:
        root: The folder, which may itself be reached through links.
        path: The path below it.
        follows: Links may lead to other places below the folder; else none is accepted.
        makes: Make the folders that are missing.
        folders: The open folders, from the first down to the last.
    """

    root: Path
    path: Path
    follows: bool
    makes: bool = False
    folders: list[int] = field(default_factory=list)

    @contextlib.contextmanager
    def opened(self) -> Iterator[tuple[int, str]]:
        """Give the open folder of the path's last part, and that part's name, which is no link."""
        self.folders.append(os.open(self.root, _FOLDER))
        try:
            last = self._last()
            yield self.folders[-1], last
        finally:
            self._back_to(0)

    def _last(self) -> str:
        todo = list(reversed(self.path.relative_to(self.root).parts))
        links = 0
        while todo:
            part = todo.pop()
            if part == "..":
                self._up()
            elif (target := self._target(part)) is not None:
                links += 1
                todo += reversed(self._followed(target, links))
            elif not todo:
                return part
            else:
                self._down(part)
        return "."

    def _target(self, part: str) -> str | None:
        """Return what a part links to; None where it is no link, or not there."""
        try:
            return os.readlink(part, dir_fd=self.folders[-1])
        except OSError as error:
            if error.errno in {errno.EINVAL, errno.ENOENT}:
                return None
            raise

    def _followed(self, target: str, links: int) -> tuple[str, ...]:
        if not self.follows:
            raise NotPlainError(f"{self.path} leads through a link to {target}: nothing was changed. {_PLAIN}")
        if links > MOST_LINKS:
            raise NotPlainError(f"{self.path} is a link that leads nowhere. {_PLAIN}")
        parts = PurePosixPath(target)
        if not parts.is_absolute():
            return parts.parts
        top = next((top for top in (self.root, self.root.resolve()) if parts.is_relative_to(top)), None)
        if top is None:
            raise self._outside()
        self._back_to(1)
        return parts.relative_to(top).parts

    def _up(self) -> None:
        if len(self.folders) == 1:
            raise self._outside()
        self._back_to(len(self.folders) - 1)

    def _down(self, part: str) -> None:
        if self.makes:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=self.folders[-1])
        self.folders.append(os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=self.folders[-1]))

    def _back_to(self, count: int) -> None:
        while len(self.folders) > count:
            os.close(self.folders.pop())

    def _outside(self) -> NotPlainError:
        return NotPlainError(f"{self.path} is a link that leads out of {self.root}: it is not followed. {_PLAIN}")
