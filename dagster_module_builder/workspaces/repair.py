"""Damaged markers, repaired: a lost marker line is put back where the registry's digest proves its place.

Without such a proof, the marker that is left over is removed, so that the lines are their owner's again. No other line
is ever changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dagster_module_builder.shared_files.blocks import Block, Marker, markers, pair, split_lines
from dagster_module_builder.shared_files.formats.outline import UnsafeEditError
from dagster_module_builder.shared_files.formats.shared_file import SharedFile
from dagster_module_builder.shared_files.merge import unsafe
from dagster_module_builder.shared_files.registered_file import RegisteredFile
from dagster_module_builder.transactions.plan import FileChange, Plan
from dagster_module_builder.transactions.reading import under_lock
from dagster_module_builder.transactions.transaction import commit
from dagster_module_builder.workspaces.workspace import MODES, read_workspace


@dataclass(frozen=True)
class _Repair:
    """A line to insert before ``line``; if ``text`` is None, the line to remove."""

    line: int
    text: bytes | None


def repair(root: Path, *, dry_run: bool = False) -> Plan:
    """Fix the markers of all shared files, as one plan that is itself backed up.

    Args:
        root: The workspace's root.
        dry_run: Plan, but change nothing.

    Raises:
        RefusedError: There is no workspace, its registry is damaged, or a file cannot be read. Nothing was changed.
    """

    def work() -> Plan:
        workspace = read_workspace(root)
        changes = []
        for file, kind in workspace.kinds.items():
            before = workspace.files[file]
            if before is not None:
                after = repaired(workspace.path(file), kind, before, workspace.known[file])
                changes.append(FileChange(workspace.path(file), before, after, MODES.get(file, 0o644)))
        plan = Plan(tuple(changes))
        if not dry_run:
            commit(root, plan)
        return plan

    return under_lock(root, work, changes=not dry_run)


def repaired(path: Path, kind: SharedFile, text: bytes, known: RegisteredFile) -> bytes:
    """Return a shared file with its markers repaired.

    Raises:
        DamagedFileError: The file cannot be read, with or without markers.
    """
    lines = split_lines(text)
    while left := _left_over(path, kind, lines):
        change = _proven(lines, left[0], known) or _Repair(left[0].line, None)
        lines[change.line : change.line + (change.text is None)] = [] if change.text is None else [change.text]
    return b"".join(lines)


def _left_over(path: Path, kind: SharedFile, lines: Sequence[bytes]) -> list[Marker]:
    try:
        texts = kind.text_lines(lines)
    except UnsafeEditError as error:
        raise unsafe(path, error.position + 1, error.reason) from None
    return pair([marker for marker in markers(lines) if marker.line not in texts])[1]


def _proven(lines: Sequence[bytes], marker: Marker, known: RegisteredFile) -> _Repair | None:
    """Return where the lost partner was: the place at which the block has the digest that the registry records."""
    digests = set(known.digests.get(marker.name, {}).values())
    kept = lines[marker.line]
    lost = kept.replace(b"# END:", b"# BEGIN:") if marker.end else kept.replace(b"# BEGIN:", b"# END:")
    for length in range(1, len(lines)):
        first = marker.line - length if marker.end else marker.line + 1
        furthest = first if marker.end else marker.line + length
        if not 0 <= furthest < len(lines) or markers([lines[furthest]]):
            return None
        body = lines[first : first + length]
        ends = (lost, kept) if marker.end else (kept, lost)
        if known.sealed(Block(marker.name, (ends[0], *body, ends[1])).digest) in digests:
            return _Repair(first if marker.end else first + length, lost)
    return None
