"""A plan: which files a command changes, from which bytes to which. It is a value; nothing here writes."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dagster_module_builder.base import settings
from dagster_module_builder.shown_files.files import shown_lines

SECRET_MODE = 0o600


@dataclass(frozen=True)
class FileChange:
    """A change of one file.

    Attributes:
        path: The file.
        before: Its bytes before; None if it does not exist.
        after: Its bytes afterwards; None if it is deleted.
        mode: The permission bits of a new file.
        chmod: The permission bits of an existing file before and after, if they change.
        below: For a file outside the workspace: the folder that no link in the path may lead out of.
        public: Lines, without surrounding white space, that a diff always shows.
        shown_as: The name that decides how a diff shows it, if that is not the file's: ``Dockerfile``.
    """

    path: Path
    before: bytes | None
    after: bytes | None
    mode: int = 0o644
    chmod: tuple[int, int] | None = None
    below: Path | None = None
    public: frozenset[str] = frozenset()
    shown_as: str = ""

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return self.before != self.after or self.chmod is not None

    @property
    def added(self) -> int:
        """How many lines are added."""
        return sum(line.startswith("+") for line in self._delta())

    @property
    def removed(self) -> int:
        """How many lines are removed."""
        return sum(line.startswith("-") for line in self._delta())

    def _delta(self) -> list[str]:
        lines = self._diff([_lines(self.before), _lines(self.after)], context=0)
        return [line for line in lines if not line.startswith(("+++", "---", "@@"))]

    def _diff(self, shown: Sequence[Sequence[str]], context: int) -> Iterator[str]:
        """Yield a unified diff of the lines before and after, in which their redacted forms are ``shown``."""
        old, new = _lines(self.before), _lines(self.after)
        # For speed: files of thousands of lines differ in few, so common lines at both ends are left out.
        head = _common(old, new)
        tail = _common(old[head:][::-1], new[head:][::-1])
        first = max(head - context, 0)
        last_old, last_new = (len(side) - max(tail - context, 0) for side in (old, new))
        matcher = difflib.SequenceMatcher(None, old[first:last_old], new[first:last_new])
        yield from (f"{sign} {self.path}" for sign in ("---", "+++"))
        for group in matcher.get_grouped_opcodes(context):
            moved = [(tag, a + first, b + first, c + first, d + first) for tag, a, b, c, d in group]
            yield _heading(moved)
            for tag, old_from, old_to, new_from, new_to in moved:
                taken = () if tag == "equal" else shown[1][new_from:new_to]
                sign = " " if tag == "equal" else "-"
                yield from (f"{sign}{line}" for line in shown[0][old_from:old_to])
                yield from (f"+{line}" for line in taken)

    def diff(self) -> str:
        """Return the change as a unified diff that shows only what is known to be harmless."""
        modes = [f"# {self.path}: mode {self.chmod[0]:o} becomes {self.chmod[1]:o}"] if self.chmod else []
        if self.before == self.after:
            return "\n".join(modes)
        shown = [
            shown_lines(self.shown_as or self.path.name, side or b"", self.public) for side in (self.before, self.after)
        ]
        return "\n".join([*modes, *self._diff(shown, context=3)])


@dataclass(frozen=True)
class Plan:
    """All files that one command changes, the registry last."""

    changes: tuple[FileChange, ...]

    @property
    def effective(self) -> tuple[FileChange, ...]:
        """The changes with an effect."""
        return tuple(change for change in self.changes if change.changes)

    def diff(self) -> str:
        """Return all changes as one unified diff; for the registry, only the number of changed lines."""
        return "\n".join(_count(change) if _is_registry(change) else change.diff() for change in self.effective)


def _is_registry(change: FileChange) -> bool:
    return change.path.name == settings.REGISTRY.name


def _count(change: FileChange) -> str:
    # A diff of long lines of hashes is of no use; patch(1) ignores a comment between files.
    return f"# {change.path}: +{change.added} -{change.removed}, this program's own record"


def _lines(side: bytes | None) -> list[str]:
    return (side or b"").decode("utf-8", "replace").replace("\r", "").split("\n")


def _heading(group: Sequence[tuple[str, int, int, int, int]]) -> str:
    (_, old_from, _, new_from, _), (_, _, old_to, _, new_to) = group[0], group[-1]
    return f"@@ -{_range(old_from, old_to)} +{_range(new_from, new_to)} @@"


def _range(start: int, end: int) -> str:
    """Return a range of lines in the form of unified diffs, first line and count: ``(4, 7) -> "5,3"``."""
    return f"{start + 1}" if end - start == 1 else f"{start + 1},{end - start}"


def _common(old: list[str], new: list[str]) -> int:
    count = 0
    for ours, theirs in zip(old, new, strict=False):
        if ours != theirs:
            break
        count += 1
    return count
