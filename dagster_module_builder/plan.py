"""What a command is about to do: which files, from which bytes to which. A value; nothing here writes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dagster_module_builder import settings

_SHOWN = re.compile(r"(PORT|HOST|NAME|USER|DB|IMAGE|NETWORK|UID|GID)$")
_ASSIGNMENT = re.compile(r"^([ +-]?\s*(?:export\s+)?)([A-Za-z_]\w*)(\s*=\s*)(\S.*)$")
_SECRET_KEY = re.compile(r"""^([ +-]?\s*(?:-\s*)?["']?\w*(?:PASSWORD|PASSWD|SECRET|TOKEN|API_KEY|PRIVATE_KEY)\w*["']?\s*[:=]\s*)(?!["']?\$\{)(\S.*)$""", re.IGNORECASE)  # fmt: skip  # noqa: E501

MASK = "********"
SECRET_MODE = 0o600


@dataclass(frozen=True)
class FileChange:
    """What becomes of one file.

    Attributes:
        path: The file.
        before: Its bytes before; None where it does not exist.
        after: Its bytes afterwards; None where it is deleted.
        mode: The permission bits of a file that is made.
        chmod: The permission bits of a file that stays, before and after, where they change.
    """

    path: Path
    before: bytes | None
    after: bytes | None
    mode: int = 0o644
    chmod: tuple[int, int] | None = None

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
        """How many lines are taken away."""
        return sum(line.startswith("-") for line in self._delta())

    def _delta(self) -> list[str]:
        return [line for line in self._diff(context=0) if not line.startswith(("+++", "---", "@@"))]

    def _diff(self, context: int) -> Iterator[str]:
        old, new = (_text(side).split("\n") for side in (self.before, self.after))
        # Whole files of thousands of lines differ in a few: what is common at both ends is not compared again.
        head = _common(old, new)
        tail = _common(old[head:][::-1], new[head:][::-1])
        first = max(head - context, 0)
        last_old, last_new = (len(side) - max(tail - context, 0) for side in (old, new))
        name = str(self.path)
        lines = difflib.unified_diff(old[first:last_old], new[first:last_new], name, name, n=context, lineterm="")
        return (_shifted(line, first) for line in lines)

    def diff(self) -> str:
        """Return the change as a unified diff in which no secret can be read."""
        is_env = self.path.name.startswith(".env")
        modes = [f"# {self.path}: mode {self.chmod[0]:o} becomes {self.chmod[1]:o}"] if self.chmod else []
        return "\n".join([*modes, *(masked(line, is_env=is_env) for line in self._diff(context=3))])


@dataclass(frozen=True)
class Plan:
    """All files that one command changes, the registry last."""

    changes: tuple[FileChange, ...]

    @property
    def effective(self) -> tuple[FileChange, ...]:
        """The changes that do change something."""
        return tuple(change for change in self.changes if change.changes)

    def diff(self) -> str:
        """Return all changes as one unified diff in which no secret can be read; of the registry, how much changes."""
        return "\n".join(_count(change) if _is_registry(change) else change.diff() for change in self.effective)


def _is_registry(change: FileChange) -> bool:
    return change.path.parts[-len(settings.REGISTRY.parts) :] == settings.REGISTRY.parts


def _count(change: FileChange) -> str:
    # Hashes in long lines tell a person nothing; a comment between its files is nothing to who applies the diff.
    return f"# {change.path}: +{change.added} -{change.removed}, this program's own record"


def masked(line: str, *, is_env: bool) -> str:
    """Hide what may be a secret in a line of a diff: in env files every value but those known to be harmless."""
    if is_env and (match := _ASSIGNMENT.match(line)) and not _SHOWN.search(match[2]):
        return f"{match[1]}{match[2]}{match[3]}{MASK}"
    return _SECRET_KEY.sub(lambda found: found[1] + MASK, line)


def _text(side: bytes | None) -> str:
    return (side or b"").decode("utf-8", "replace").replace("\r", "")


def _common(old: list[str], new: list[str]) -> int:
    count = 0
    for ours, theirs in zip(old, new, strict=False):
        if ours != theirs:
            break
        count += 1
    return count


def _shifted(line: str, offset: int) -> str:
    if not line.startswith("@@"):
        return line
    return re.sub(r"([-+])(\d+)", lambda found: f"{found[1]}{int(found[2]) + offset}", line)
