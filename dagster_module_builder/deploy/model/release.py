"""The content of a release: its files with their hashes, its commit, its name."""

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

#: The beginning of a file that Git LFS did not fetch (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md).
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1"


@dataclass(frozen=True)
class ReleaseSource:
    """Where the files of a release come from.

    Attributes:
        commit: The commit; None without version control.
        branch: The branch; None without one.
        dirty: Whether anything is not committed.
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
        read: Returns a file's bytes by its path.
        sent: The manifest of the files to send, if the rest reaches the hosts in another way.
        left_out: The other entries of the folder that the files come from; None if they are not known.
    """

    manifest: str
    size: int
    source: ReleaseSource
    read: Callable[[str], bytes | None]
    sent: str | None = None
    left_out: tuple[str, ...] | None = None

    @functools.cached_property
    def digest(self) -> str:
        """The SHA-256 of the manifest, which identifies the content."""
        return hashlib.sha256(self.manifest.encode()).hexdigest()

    @property
    def files(self) -> str:
        """The manifest of the files that the hosts get."""
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
        """Return a name for the release: ``20260131T120000000000Z-0a1b2c3d``, the time and the commit or content."""
        moment = now or datetime.now(timezone.utc)
        made = f"{moment:%Y%m%dT%H%M%S%f}Z"
        return f"{made}-{(self.digest if self.source.dirty else self.source.commit or self.digest)[:8]}"


def manifest_line(path: str, kind: str, content: bytes) -> str:
    """Return a manifest's line: ``e3b0… f "src/sales.py"``."""
    return f"{hashlib.sha256(content).hexdigest()} {kind} {json.dumps(path)}\n"


def differences(ours: str, theirs: str, most: int = 5) -> list[str]:
    """Return the paths in which two manifests differ, as messages: ``["src/sales.py: missing"]``."""
    sent, arrived = ({path_of(line): line for line in text.splitlines()} for text in (ours, theirs))
    messages = [
        f"{path}: {'missing' if path not in arrived else 'different'}"
        for path in sent
        if arrived.get(path) != sent[path]
    ]
    messages += [f"{path}: not sent" for path in arrived if path not in sent]
    return messages if len(messages) <= most else [*messages[:most], f"and {len(messages) - most} more"]


def exclusion(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return an expression for the paths that patterns exclude; a pattern without ``/`` matches any file name."""
    rooted = [fnmatch.translate(pattern.strip("/")) for pattern in patterns if "/" in pattern.rstrip("/")]
    named = [
        f"(?:.*/)?{fnmatch.translate(pattern.strip('/'))}" for pattern in patterns if "/" not in pattern.rstrip("/")
    ]
    return re.compile("|".join([*rooted, *named]) or r"(?!)", re.DOTALL)


def files_below(folder: Path, patterns: Sequence[str] = (), left_out: list[str] | None = None) -> Iterator[str]:
    """Yield the files and links below a folder that no pattern excludes, as relative paths.

    Args:
        folder: The folder.
        patterns: What to exclude.
        left_out: A list to which excluded files, links and folders are added.
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
    """Read the files of a folder, without those that a pattern excludes.

    Raises:
        RefusedError: One of them cannot be part of a release.
    """
    left_out: list[str] = []
    return replace(stage_files(folder, files_below(folder, patterns, left_out), source), left_out=tuple(left_out))


def stage_files(folder: Path, paths: Iterable[str], source: ReleaseSource) -> Staged:
    """Read these files and links below a folder.

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
            raise RefusedError(f"{path} is neither a file nor a link: exclude it or delete it.")
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
        raise RefusedError(f"{link} points to {target}, outside the module, which is not deployed: exclude the link.")


def refuse_content(path: str, content: bytes) -> None:
    """Refuse a file that cannot be in a release."""
    if path in OWN_FILES:
        raise RefusedError(f"{path}: deployments write a file of this name into each release. Rename yours.")
    if content.startswith(LFS_POINTER):
        raise RefusedError(f"{path} is a Git LFS pointer, not the file itself: run 'git lfs pull', or exclude it.")
