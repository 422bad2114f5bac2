"""Merging blocks into one shared file, and removing them: bytes in, bytes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dagster_module_builder.base.errors import DamagedFileError, EditedBlockError
from dagster_module_builder.shared_files.blocks import Block, Layout, ending_near, join, make_block
from dagster_module_builder.shared_files.formats.outline import KeyPath, UnsafeEditError
from dagster_module_builder.shared_files.formats.shared_file import (
    Contribution,
    DamagedMarkersError,
    Placement,
    Scaffold,
    SharedFile,
    take_apart,
)
from dagster_module_builder.shared_files.last_line import end_last_line, restore_last_line
from dagster_module_builder.shared_files.registered_file import END_OF_FILE, NO_FILE, Digests, RegisteredFile

#: Shared files with more bytes or lines are refused; with a thousand modules, a file has 2 MB and 60,000 lines.
LARGEST_TEXT = 8 * 1024 * 1024
MOST_LINES = 300_000


@dataclass(frozen=True)
class MergedFile:
    """A file after a merge (``text`` is None if it is to be deleted), and what the registry is to remember of it."""

    text: bytes | None
    digests: dict[str, Digests]
    scaffolds: dict[KeyPath, Scaffold]


def merge(
    path: Path,
    kind: SharedFile,
    layout: Layout,
    changes: Mapping[str, Sequence[Contribution]],
    known: RegisteredFile,
    *,
    force: bool = False,
    absent: bool = False,
) -> MergedFile:
    """Replace the blocks of some modules in a file by their current contributions.

    Args:
        path: The file's path, for messages.
        kind: Its format.
        layout: The file in parts; it is changed.
        changes: By marker, the module's contributions; an empty list removes its blocks.
        known: What the registry remembers of the file.
        force: Replace edited blocks, too.
        absent: The file does not exist yet.

    Raises:
        DamagedFileError: The file cannot be edited safely.
        EditedBlockError: A block was edited, and ``force`` is not set.
    """
    start = layout.copy()
    try:
        blocks_by_slot(path, kind, layout, _crowded(layout, known))
        kept = _drop(path, kind, layout, changes, known, force=force)
        wanted = [
            (marker, contribution)
            for marker, contributions in changes.items()
            for contribution in contributions
            if contribution.path not in kept.get(marker, {})
        ]
        scaffolds = dict(known.scaffolds)
        end_last_line(layout, scaffolds, known)
        wanted_slots = {contribution.path for _, contribution in wanted}
        _clear(kind, layout, scaffolds, wanted_slots | _slots_in_use(kind, layout, known, changes, kept))
        _prepare(kind, layout, scaffolds, wanted_slots)
        digests = _put(kind, layout, wanted, known)
        restore_last_line(layout, scaffolds, known)
    except UnsafeEditError as error:
        raise unsafe(path, _line_at_first(start, layout, error.position), error.reason) from None
    united = _united(known.digests, changes, kept, digests)
    return _created_or_deleted(MergedFile(join(layout), united, scaffolds), absent=absent)


def _created_or_deleted(merged: MergedFile, *, absent: bool) -> MergedFile:
    """Remember that a new file did not exist before; delete such a file once it is empty."""
    scaffolds = {path: scaffold for path, scaffold in merged.scaffolds.items() if path != NO_FILE}
    was_absent = absent or NO_FILE in merged.scaffolds
    if was_absent and merged.text:
        return replace(merged, scaffolds={**scaffolds, NO_FILE: Scaffold((), ())})
    return MergedFile(None if was_absent else merged.text, merged.digests, scaffolds)


def _line_at_first(start: Layout, layout: Layout, position: int) -> int:
    """Return the line number that an own line had before lines were inserted above it."""
    line = layout.own[position] if position < len(layout.own) else None
    return start.line_number(next((at for at, own in enumerate(start.own) if own is line), position))


def unsafe(path: Path, line: int, reason: str) -> DamagedFileError:
    """Return the error for a file that cannot be edited safely."""
    return DamagedFileError(path, line, reason, "Nothing was changed. Fix this line, and try again.")


def open_layout(path: Path, kind: SharedFile, text: bytes, known: RegisteredFile) -> Layout:
    """Return a shared file in parts.

    Raises:
        DamagedFileError: Its markers are damaged, or it cannot be read.
    """
    if len(text) > LARGEST_TEXT or text.count(b"\n") > MOST_LINES:
        raise unsafe(path, 1, f"the file has more than {LARGEST_TEXT // 1024**2} MB or {MOST_LINES} lines")
    try:
        return take_apart(text, kind, known.pairs, known.sealed)
    except DamagedMarkersError as error:
        way_out = "Nothing was changed. Restore the missing line, or run 'workspace.sync --repair'."
        raise DamagedFileError(path, error.lines[0][0], f"a marker without its partner: {error}", way_out) from None
    except UnsafeEditError as error:
        raise unsafe(path, error.position + 1, error.reason) from None


def blocks_by_slot(
    path: Path, kind: SharedFile, layout: Layout, marker_names: Sequence[str]
) -> dict[str, dict[KeyPath, tuple[int, Block]]]:
    """Return the blocks of these markers by marker and slot, with their positions.

    Raises:
        DamagedFileError: A slot has two blocks of one marker.
    """
    names = set(marker_names)
    blocks = [(at, block) for at, block in layout.blocks() if block.marker in names]
    by_marker: dict[str, dict[KeyPath, tuple[int, Block]]] = {name: {} for name in marker_names}
    by_slot: dict[tuple[str, KeyPath], list[tuple[int, Block]]] = {}
    for slot, (at, block) in zip(kind.slots_of(layout, blocks), blocks, strict=True):
        by_slot.setdefault((block.marker, slot), []).append((at, block))
        by_marker[block.marker][slot] = (at, block)
    for (marker, slot), located in by_slot.items():
        if len(located) > 1:
            # Counting lines takes as long as the file is: only for the message.
            lines = [layout.line_of(at, block) for at, block in located]
            where = f" in '{'.'.join(slot)}'" if slot else ""
            listed = ", ".join(map(str, lines))
            raise unsafe(
                path, lines[0], f"{len(lines)} blocks of {marker!r}{where} (lines {listed}), but only one fits"
            )
    return by_marker


def _crowded(layout: Layout, known: RegisteredFile) -> list[str]:
    """Return the markers with more blocks than registered slots: a slot may have two of their blocks."""
    counted = Counter(block.marker for _, block in layout.blocks())
    return [marker for marker, count in counted.items() if count > len(known.digests.get(marker, "1"))]


def _drop(
    path: Path,
    kind: SharedFile,
    layout: Layout,
    changes: Mapping[str, Sequence[Contribution]],
    known: RegisteredFile,
    *,
    force: bool,
) -> dict[str, Digests]:
    """Remove the blocks that are to be deleted or changed; return the digests of those that stay."""
    kept: dict[str, Digests] = {}
    located = blocks_by_slot(path, kind, layout, list(changes))
    for marker, blocks in located.items():
        wanted = {contribution.path: contribution.digests for contribution in changes[marker]}
        for slot, (at, block) in blocks.items():
            remembered, now = known.digests.get(marker, {}).get(slot), known.sealed(block.digest)
            # Even if a person wrote it: the same bytes would be written again.
            if remembered is not None and block.digest in wanted.get(slot, ()):
                kept.setdefault(marker, {})[slot] = now
                continue
            if now != remembered and not force:
                raise EditedBlockError(path, layout.line_of(at, block), marker, known=remembered is not None)
            layout.discard(at, block)
    return kept


def _slots_in_use(
    kind: SharedFile, layout: Layout, known: RegisteredFile, changes: Mapping[str, object], kept: Mapping[str, Digests]
) -> set[KeyPath]:
    """Return the slots that still have blocks; those of registered modules are looked up, not searched for."""
    others = (slots for marker, slots in known.digests.items() if marker not in changes)
    in_use = {path for slots in (*others, *kept.values()) for path in slots}
    unregistered = [(at, block) for at, block in layout.blocks() if block.marker not in known.digests]
    return in_use | set(kind.slots_of(layout, unregistered))


def _clear(kind: SharedFile, layout: Layout, scaffolds: dict[KeyPath, Scaffold], in_use: set[KeyPath]) -> None:
    """Undo the scaffolds of slots without blocks, the innermost first."""
    kept = {path[:depth] for path in in_use for depth in range(len(path) + 1)}
    for path in sorted(set(scaffolds) - kept - {END_OF_FILE, NO_FILE}, reverse=True):
        kind.clear(layout, path, scaffolds.pop(path))


def _prepare(kind: SharedFile, layout: Layout, scaffolds: dict[KeyPath, Scaffold], wanted: set[KeyPath]) -> None:
    for path in sorted(wanted):
        created = {slot for slot, scaffold in scaffolds.items() if not scaffold.before}
        scaffolds.update(kind.prepare(layout, path, created))


def _put(
    kind: SharedFile, layout: Layout, wanted: Sequence[tuple[str, Contribution]], known: RegisteredFile
) -> dict[str, Digests]:
    digests: dict[str, Digests] = {}
    placements = kind.placements(layout, [contribution for _, contribution in wanted])
    for (marker, contribution), placement in zip(wanted, placements, strict=True):
        block = _block(marker, placement, layout)
        layout.place(placement.position, block)
        digests.setdefault(marker, {})[contribution.path] = known.sealed(block.digest)
    return digests


def _block(marker: str, placement: Placement, layout: Layout) -> Block:
    return make_block(marker, placement.body, placement.indent, ending_near(layout.own, placement.position))


def _united(
    known: Mapping[str, Digests],
    changes: Mapping[str, Sequence[Contribution]],
    kept: Mapping[str, Digests],
    put: Mapping[str, Digests],
) -> dict[str, Digests]:
    untouched = {marker: slots for marker, slots in known.items() if marker not in changes}
    touched = {marker: {**kept.get(marker, {}), **put.get(marker, {})} for marker in changes}
    return {marker: dict(slots) for marker, slots in {**untouched, **touched}.items() if slots}
