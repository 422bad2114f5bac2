"""What a release is made of: its files with their hashes, its commit, its name."""

from __future__ import annotations

import fnmatch
import functools
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.deploy.host_side.manifest import OWN_FILES, path_of

#: What Git LFS leaves where a file's content was not fetched (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md).
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1"


@dataclass(frozen=True)
class ReleaseSource:
    """Where the files of a release come from.

    Attributes:
        commit: The commit, or None where the module is under no version control.
        branch: The branch, or None.
        dirty: Whether there is anything that no commit has.
    """

    commit: str | None = None
    branch: str | None = None
    dirty: bool = False


@dataclass(frozen=True)
class Staged:
    """The files of one release, before they are sent.

    Attributes:
        manifest: A line for each file: SHA-256, kind (``f`` file, ``x`` program, ``l`` link), path as JSON.
        size: Bytes of all files.
        source: Where they come from.
        read: Gives a file's bytes by its path.
        sent: The manifest of what is sent as files, where the rest reaches the hosts in another way.
        left_out: What is beside these files in the folder that they were taken from; None where nobody noted it.
    """

    manifest: str
    size: int
    source: ReleaseSource
    read: Callable[[str], bytes | None]
    sent: str | None = None
    left_out: tuple[str, ...] | None = None

    @functools.cached_property
    def digest(self) -> str:
        """The SHA-256 of the manifest, which stands for the whole content."""
        return hashlib.sha256(self.manifest.encode()).hexdigest()

    @property
    def files(self) -> str:
        """The manifest of what the hosts get as files."""
        return self.manifest if self.sent is None else self.sent

    @functools.cached_property
    def lines(self) -> list[str]:
        """The manifest's lines, one for each file."""
        return self.manifest.splitlines()

    @property
    def paths(self) -> list[str]:
        """The paths of all files."""
        return [path_of(line) for line in self.lines]

    def identity(self, now: datetime | None = None) -> str:
        """Return the release's name: the time in UTC, and eight digits of the commit or the content."""
        moment = now or datetime.now(timezone.utc)
        made = f"{moment:%Y%m%dT%H%M%S%f}Z"
        return f"{made}-{(self.digest if self.source.dirty else self.source.commit or self.digest)[:8]}"


def manifest_line(path: str, kind: str, content: bytes) -> str:
    """Return a manifest's line for content that is at hand."""
    return f"{hashlib.sha256(content).hexdigest()} {kind} {json.dumps(path)}\n"


def differences(ours: str, theirs: str, most: int = 5) -> list[str]:
    """Return the paths in which two manifests differ, as messages."""
    sent, arrived = ({path_of(line): line for line in text.splitlines()} for text in (ours, theirs))
    found = [
        f"{path}: {'missing' if path not in arrived else 'different'}"
        for path in sent
        if arrived.get(path) != sent[path]
    ]
    found += [f"{path}: not sent" for path in arrived if path not in sent]
    return found if len(found) <= most else [*found[:most], f"and {len(found) - most} more"]


def exclusion(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return what matches the paths that patterns exclude: as a whole where one has a ``/``, else by the last part."""
    rooted = [fnmatch.translate(one.strip("/")) for one in patterns if "/" in one.rstrip("/")]
    named = [f"(?:.*/)?{fnmatch.translate(one.strip('/'))}" for one in patterns if "/" not in one.rstrip("/")]
    return re.compile("|".join([*rooted, *named]) or r"(?!)", re.DOTALL)


def files_below(folder: Path, patterns: Sequence[str] = (), left_out: list[str] | None = None) -> Iterator[str]:
    """Yield the files and links below a folder that no pattern excludes, as relative paths.

    Args:
        folder: The folder.
        patterns: What is excluded.
        left_out: Takes in what was: files, links, and folders as a whole.
    """
    excluded = exclusion(patterns)
    start = len(str(folder)) + 1
    for where, folders, files in os.walk(folder):
        inside = f"{where[start:]}/" if where[start:] else ""
        out = {name for name in [*folders, *files] if excluded.match(inside + name)}
        links = {name for name in folders if Path(where, name).is_symlink()}
        folders[:] = sorted({*folders} - links - out)
        if left_out is not None:
            left_out += [inside + name for name in out]
        yield from (inside + name for name in sorted({*files, *links} - out))


def stage_folder(folder: Path, patterns: Sequence[str], source: ReleaseSource) -> Staged:
    """Take in the files of a folder as they are, without those that a pattern excludes.

    Raises:
        RefusedError: One of them cannot be part of a release.
    """
    left_out: list[str] = []
    return replace(stage_files(folder, files_below(folder, patterns, left_out), source), left_out=tuple(left_out))


def stage_files(folder: Path, paths: Iterable[str], source: ReleaseSource) -> Staged:
    """Take in these files and links below a folder.

    Raises:
        RefusedError: One of them cannot be part of a release.
    """
    lines, size = [], 0
    for relative in paths:
        path = os.path.join(folder, relative)  # noqa: PTH118 - there may be thousands, and a Path takes as long as its file
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            lines.append(manifest_line(relative, "l", _inner_target(folder, Path(path))))
            continue
        if not stat.S_ISREG(mode):
            raise RefusedError(f"{path} is neither a file nor a link: exclude it, or remove it.")
        content = _bytes(path)
        refuse_content(relative, content)
        lines.append(manifest_line(relative, "x" if mode & 0o100 else "f", content))
        size += len(content)
    return Staged("".join(sorted(lines)), size, source, lambda name: _content(folder / name))


def _bytes(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - see above
        return file.readall()


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _inner_target(folder: Path, link: Path) -> bytes:
    target = os.readlink(link)  # noqa: PTH115 - a Path would lose a "./" of the target, which is content
    where = os.path.normpath(link.parent / target)
    refuse_link(link, target, inside=not target.startswith("/") and Path(where).is_relative_to(folder))
    return os.fsencode(target)


def refuse_link(link: object, target: str, *, inside: bool) -> None:
    """Refuse a link that leads out of the release."""
    if not inside:
        raise RefusedError(f"{link} points to {target}, outside the module, where the host has nothing: exclude it.")


def refuse_content(path: str, content: bytes) -> None:
    """Refuse a file that a release cannot have."""
    if path in OWN_FILES:
        raise RefusedError(f"{path}: a release has a file of that name of its own; rename yours.")
    if content.startswith(LFS_POINTER):
        raise RefusedError(f"{path} is a pointer of Git LFS, not the file: run 'git lfs pull', or exclude it.")
