"""The only reader and writer of the files of a module, which may be untrusted.

A link could point to any file of the user. Each part of a path is therefore opened separately, in the folder that was
opened before it, with ``O_NOFOLLOW`` (open(2)), so that no link can be inserted in between.
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

#: The largest file of a module that is read as a whole, in bytes.
MOST_BYTES = 16 << 20
#: How many links a path may lead through, as in path_resolution(7).
MOST_LINKS = 40

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
#: Without ``O_NONBLOCK``, opening a FIFO waits for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CURE = "Replace it with a regular file."


class NotPlainError(RefusedError):
    """A path of a module leads through a link, or not to a regular file."""


def read(root: Path, path: Path, most_bytes: int = MOST_BYTES) -> bytes | None:
    """Return the content of a file in a folder, or None if it does not exist. Links must stay in the folder.

    Args:
        root: The module's folder, or that of its repository.
        path: The file.
        most_bytes: The limit of its size, in bytes.

    Raises:
        NotPlainError: A link leads out of the folder, or it is a device, a FIFO, a folder, or too large.
    """
    try:
        with _OpenPath(root, path, follows=True).opened() as (folder, name):
            return _content(path, os.open(name, _FILE, dir_fd=folder), most_bytes)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno in {errno.ENXIO, errno.ELOOP}:
            raise NotPlainError(f"{path} is not a regular file. {_CURE}") from None
        raise RefusedError(f"{path} cannot be read: {error.strerror}.") from None


def text(root: Path, path: Path) -> str | None:
    """Return the text of a file, or None if it does not exist; bytes that are not UTF-8 become U+FFFD.

    Raises:
        NotPlainError: As with ``read``.
    """
    content = read(root, path)
    return None if content is None else content.decode("utf-8", "replace")


def _content(path: Path, opened: int, most_bytes: int) -> bytes:
    # ``os.fdopen`` fails for a folder, and would leave it open.
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise NotPlainError(f"{path} is not a regular file. {_CURE}")
    with os.fdopen(opened, "rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise NotPlainError(f"{path} is larger than {most_bytes >> 20} MiB. Make it smaller, or remove it.")
    return content


def refuse_links(root: Path, path: Path) -> None:
    """Refuse a path that cannot be written, since a part of it is a link or not a folder.

    Args:
        root: The module's folder, or that of its repository.
        path: The file or folder to be written.

    Raises:
        NotPlainError: It names the part.
    """
    with contextlib.suppress(FileNotFoundError), _OpenPath(root, path, follows=False).opened():
        pass


def write(root: Path, path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file in a folder, by replacing it. An existing file keeps its mode.

    Args:
        root: The module's folder, or that of its repository.
        path: The file; missing parent folders are created.
        content: Its new content.
        mode: The mode of a new file.

    Raises:
        NotPlainError: It is not a regular file, or a part of the path is a link.
        RefusedError: It cannot be written.
    """
    with _writable(root, path) as (folder, name):
        _replace(folder, path, name, content, mode)


def commit(change: FileChange) -> None:
    """Carry out the change of a single file with one rename, which is atomic.

    Args:
        change: The planned change.

    Raises:
        RefusedError: The file has changed since the plan was made, or cannot be written; nothing was changed.
    """
    root = change.below or change.path.parent
    if not change.changes:
        return
    if read(root, change.path) != change.before:
        raise RefusedError(f"Another program changed {change.path} while the command ran. Nothing was changed.")
    if change.after is not None:
        write(root, change.path, change.after, change.mode)
        return
    with _writable(root, change.path) as (folder, name):
        os.unlink(name, dir_fd=folder)


def move_in(root: Path, source: Path, path: Path) -> None:
    """Move a new folder to a path in another folder.

    Raises:
        RefusedError: A part of the path is a link, or the path exists.
    """
    with _writable(root, path) as (folder, name):
        os.rename(source, name, dst_dir_fd=folder)


@contextlib.contextmanager
def _writable(root: Path, path: Path) -> Iterator[tuple[int, str]]:
    try:
        with _OpenPath(root, path, follows=False, makes=True).opened() as parent:
            yield parent
    except OSError as error:
        raise RefusedError(f"{path}: {error.strerror}. Nothing was changed.") from None


def _replace(folder: int, path: Path, name: str, content: bytes, mode: int) -> None:
    staged = f".{name[:200]}.{secrets.token_hex(8)}.tmp"
    old = _plain_file(folder, path, name)
    opened = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    try:
        with os.fdopen(opened, "wb") as file:
            file.write(content)
            file.flush()
            if old is not None:
                _take_owner(opened, old)
            os.fchmod(opened, mode if old is None else stat.S_IMODE(old.st_mode))
            os.fsync(opened)
        os.rename(staged, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(staged, dir_fd=folder)
        raise
    os.fsync(folder)


def _take_owner(opened: int, old: os.stat_result) -> None:
    """Give a file the owner of the one that it replaces, so that a user's file stays theirs when root changes it."""
    if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        with contextlib.suppress(PermissionError):
            os.fchown(opened, old.st_uid, old.st_gid)


def _plain_file(folder: int, path: Path, name: str) -> os.stat_result | None:
    """Return the status of the file to be replaced, or None if it does not exist."""
    try:
        state = os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(state.st_mode):
        raise NotPlainError(f"{path} is not a regular file. Nothing was changed. {_CURE}")
    if not state.st_mode & stat.S_IWUSR:
        raise RefusedError(f"{path} is read-only. Nothing was changed.")
    if state.st_nlink > 1:
        raise RefusedError(
            f"{path} has several hard links, and a replacement would separate them. Nothing was changed."
        )
    return state


@dataclass
class _OpenPath:
    """A path that is opened part by part, from a folder down.

    Attributes:
        root: The folder; links may lead to it.
        path: The path in it.
        follows: Whether links in the path are followed within the folder, or refused.
        makes: Whether missing folders are created.
        folders: The open folders, from the root down.
    """

    root: Path
    path: Path
    follows: bool
    makes: bool = False
    folders: list[int] = field(default_factory=list)

    @contextlib.contextmanager
    def opened(self) -> Iterator[tuple[int, str]]:
        """Yield the open parent folder of the path, and the name of its last part, which is not a link."""
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
        """Return the target of a part; None if it is not a link, or does not exist."""
        try:
            return os.readlink(part, dir_fd=self.folders[-1])
        except OSError as error:
            if error.errno in {errno.EINVAL, errno.ENOENT}:
                return None
            raise

    def _followed(self, target: str, links: int) -> tuple[str, ...]:
        if not self.follows:
            raise NotPlainError(f"{self.path} leads through a link to {target}. Nothing was changed. {_CURE}")
        if links > MOST_LINKS:
            raise NotPlainError(f"{self.path} is a link that leads nowhere. {_CURE}")
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
        return NotPlainError(f"{self.path} is a link that leads out of {self.root}. It is not followed. {_CURE}")
