"""What an adoption changed in the owner's files: recorded in the registry, so that it can be taken back."""

from __future__ import annotations

import contextlib
import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from dagster_module_builder.adoption.proposal import FOLDER
from dagster_module_builder.adoption.rewriting import Rewriting, TextChange
from dagster_module_builder.base.errors import ConflictError, DamagedFileError
from dagster_module_builder.base.layout import WorkspaceLayout
from dagster_module_builder.compose.project_files import key_lines
from dagster_module_builder.transactions import module_files
from dagster_module_builder.transactions.plan import FileChange
from dagster_module_builder.transactions.registry import Registry

#: The key of the registry.
KEY = "adopted"
_CURE = "Put it back, or pass --keep-commands."


@dataclass(frozen=True)
class Recorded:
    """A text that took the place of one of the owner's.

    Attributes:
        path: The file, relative to the workspace's root.
        service: The service that it is for.
        within: The service in whose lines it is; empty outside all services, and in other files.
        before: The owner's text.
        after: The text that took its place.
        number: Which occurrence of ``after`` it is, counted from 0.
        count: How many there were.
    """

    path: str
    service: str
    within: str
    before: str
    after: str
    number: int
    count: int

    def __str__(self) -> str:
        return f"{' '.join(self.after.split())!r} of {self.service}"


def with_record(
    registry: Registry,
    path_of_registry: Path,
    rewriting: Rewriting,
    before: Mapping[Path, bytes | None],
    made: Path | None,
) -> Registry:
    """Return the registry with what an adoption changes, beside what earlier ones changed.

    Args:
        registry: The registry.
        path_of_registry: Its file, for the error.
        rewriting: The changes.
        before: The content of the changed files before.
        made: The workspace file, if there was none before.

    Raises:
        DamagedFileError: What the registry has of earlier ones cannot be read.
    """
    earlier, made_before = _record(registry, path_of_registry)
    recorded = [each for each in earlier if Path(each.path) not in rewriting.contents]
    for path, content in rewriting.contents.items():
        changes = [change for change in rewriting.changes if change.path == path]
        kept = _moved([each for each in earlier if Path(each.path) == path], _text(before[path] or b""), changes)
        recorded += [_recorded(_text(content), path, *each) for each in kept]
        recorded += [
            _recorded(_text(content), path, change.start, change.service, change.before, change.after)
            for change in changes
        ]
    digests = {made.as_posix(): hashlib.sha256(rewriting.contents[made]).hexdigest()} if made else {}
    record = {"changes": [vars(each) for each in recorded], "made": {**made_before, **digests}}
    return replace(registry, data={**registry.data, KEY: record})


def _moved(
    earlier: Sequence[Recorded], text: str, changes: Sequence[TextChange]
) -> Iterator[tuple[int, str, str, str]]:
    """Yield where earlier changes of a file are after further ones; what the owner edited meanwhile is the owner's."""
    for each in earlier:
        start = _start_of(each, text)
        if start is None:
            continue
        for change in changes:
            if change.start <= start:
                start += len(change.after) - len(change.before)
        yield start, each.service, each.before, each.after


def _recorded(text: str, path: Path, start: int, service: str, before: str, after: str) -> Recorded:
    starts = list(_occurrences(text, after))
    within = _service_at(text, path, start)
    return Recorded(path.as_posix(), service, within, before, after, starts.index(start), len(starts))


def _start_of(recorded: Recorded, text: str) -> int | None:
    """Return where a recorded text is; None if it was edited since."""
    starts = list(_occurrences(text, recorded.after))
    if len(starts) != recorded.count:
        return None
    start = starts[recorded.number]
    return start if _service_at(text, Path(recorded.path), start) == recorded.within else None


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace").removeprefix("\ufeff")


def _occurrences(text: str, searched: str) -> Iterator[int]:
    """Yield where whole words of a text are: ``-w /a`` is not in ``-w /a/b``."""
    before = "" if searched[:1].isspace() else r"(?<![\w./-])"
    behind = "" if searched[-1:].isspace() else r"(?![\w./-])"
    for match in re.finditer(f"{before}{re.escape(searched)}{behind}", text):
        yield match.start()


def _service_at(text: str, path: Path, position: int) -> str:
    """Return the service of a Compose file in whose lines a position is; empty for other files."""
    if path.suffix not in {".yml", ".yaml"}:
        return ""
    try:
        lines = sorted((line, name) for name, line in key_lines(text.encode(), "services"))
    except yaml.YAMLError:
        return ""
    # A text that is added before a service's first key begins on that key's line.
    line = text.count("\n", 0, position) + 1
    index = bisect_right([number for number, _ in lines], line) - 1
    return lines[index][1] if index >= 0 else ""


def undone(layout: WorkspaceLayout, registry: Registry) -> list[FileChange]:
    """Return the changes that give the owner's files back what an adoption changed; none if it changed nothing.

    Raises:
        ConflictError: The owner has edited what would be taken back, with each place.
        DamagedFileError: The registry's record cannot be read.
    """
    recorded, made = _record(registry, layout.registry)
    by_path: dict[str, list[Recorded]] = {}
    for each in recorded:
        by_path.setdefault(each.path, []).append(each)
    problems: list[str] = []
    changes = [_taken_back(layout.root, layout.root / path, each, problems) for path, each in by_path.items()]
    for path, digest in made.items():
        changes.append(_deleted(layout.root, path, digest, problems))
    if problems:
        raise ConflictError(problems)
    return changes


def without_record(registry: Registry) -> Registry:
    """Return the registry without what an adoption changed."""
    return replace(registry, data={key: value for key, value in registry.data.items() if key != KEY})


def _record(registry: Registry, path: Path) -> tuple[list[Recorded], Mapping[str, str]]:
    """Return the recorded changes, and the digests of the files that were made."""
    try:
        data: Any = registry.data.get(KEY) or {}
        recorded = [Recorded(**each) for each in data.get("changes", ())]
        made = {str(name): str(digest) for name, digest in data.get("made", {}).items()}
        paths = [Path(name) for name in (*(each.path for each in recorded), *made)]
    except (TypeError, AttributeError):
        paths = [Path("/")]
    if any(name.is_absolute() or ".." in name.parts for name in paths):
        cure = "Restore it from version control, or pass --keep-commands."
        raise DamagedFileError(path, None, f"its record {KEY!r} cannot be read", cure)
    return recorded, made


def _taken_back(root: Path, path: Path, recorded: Sequence[Recorded], problems: list[str]) -> FileChange:
    content = module_files.read(root, path)
    try:
        text = (content or b"").decode().removeprefix("\ufeff")
    except UnicodeDecodeError:
        problems.append(f"{path}: this file is no longer UTF-8. {_CURE}")
        return FileChange(path, content, content)
    places: list[tuple[int, Recorded]] = []
    for each in recorded:
        start = _start_of(each, text)
        if start is None:
            problems.append(f"{_where(text, path, each)}: {each} was edited since. {_CURE}")
        else:
            places.append((start, each))
    for start, each in sorted(places, key=lambda place: place[0], reverse=True):
        text = text[:start] + each.before + text[start + len(each.after) :]
    mark = b"\xef\xbb\xbf" if content and content.startswith(b"\xef\xbb\xbf") else b""
    return FileChange(path, content, content if problems else mark + text.encode())


def _where(text: str, path: Path, recorded: Recorded) -> str:
    try:
        lines = dict(key_lines(text.encode(), "services")) if path.suffix in {".yml", ".yaml"} else {}
    except yaml.YAMLError:
        lines = {}
    line = lines.get(recorded.within)
    return f"{path}:{line}" if line else str(path)


def _deleted(root: Path, path: str, digest: str, problems: list[str]) -> FileChange:
    file = root / path
    content = module_files.read(root, file)
    if content is not None and hashlib.sha256(content).hexdigest() != digest:
        problems.append(f"{file}: this file was edited since. {_CURE}")
    return FileChange(file, content, None)


def remove_empty(workspace_file: Path) -> None:
    """Remove the folder that was made for a workspace file, if nothing else is in it."""
    if workspace_file.parent.name == FOLDER:
        with contextlib.suppress(OSError):
            workspace_file.parent.rmdir()
