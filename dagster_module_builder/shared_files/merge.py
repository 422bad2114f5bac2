"""Blocks into and out of one shared file: bytes in, bytes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dagster_module_builder.base.errors import DamagedFileError, EditedBlockError
from dagster_module_builder.shared_files.blocks import Block, Layout, ending_near, join, make_block
from dagster_module_builder.shared_files.formats.outline import KeyPath, OutlineError
from dagster_module_builder.shared_files.formats.shared_file import (
    Contribution,
    DamagedMarkersError,
    Place,
    Scaffold,
    SharedFile,
    take_apart,
)
from dagster_module_builder.shared_files.sealing import Seal

#: The key under which a line feed that was added to the end of a file is remembered.
END_OF_FILE: KeyPath = ("(end of file)",)
#: The key under which it is remembered that there was no file.
NO_FILE: KeyPath = ("(no file)",)

#: Shared files beyond this many bytes or lines are refused; with a thousand modules, one has 2 MB and 60,000 lines.
LARGEST_TEXT = 8 * 1024 * 1024
MOST_LINES = 300_000

Digests = dict[KeyPath, str]


@dataclass(frozen=True)
class Known:
    """What the registry remembers of one file.

    Attributes:
        digests: By marker and slot, the digest of the block that was put there.
        scaffolds: By slot, what was changed to make room.
        seal: What both are remembered through, where the file holds secrets.
    """

    digests: Mapping[str, Digests] = field(default_factory=dict)
    scaffolds: Mapping[KeyPath, Scaffold] = field(default_factory=dict)
    seal: Seal | None = None

    def sealed(self, digest: str) -> str:
        """Return what is remembered of a digest."""
        return self.seal(digest) if self.seal else digest

    def sealed_line(self, line: bytes) -> bytes:
        """Return what is remembered of an own line, which has no ending."""
        return self.seal.line(line) if self.seal else line

    @property
    def pairs(self) -> set[tuple[str, str]]:
        """Every marker with each of its digests."""
        return {(marker, value) for marker, slots in self.digests.items() for value in slots.values()}


@dataclass(frozen=True)
class Merged:
    """A file after a merge (``text`` is None where there is to be none), and what to remember of it."""

    text: bytes | None
    digests: dict[str, Digests]
    scaffolds: dict[KeyPath, Scaffold]


def merge(
    path: Path,
    kind: SharedFile,
    layout: Layout,
    changes: Mapping[str, Sequence[Contribution]],
    known: Known,
    *,
    force: bool = False,
    absent: bool = False,
) -> Merged:
    """Bring what these modules give into a file, in place of whatever they gave before.

    Args:
        path: The file's path, for messages.
        kind: Its format.
        layout: The file, taken apart; it is used up.
        changes: By marker, what the module gives; nothing takes its blocks out.
        known: What the registry remembers.
        force: Replace blocks that somebody edited.
        absent: There is no such file yet.

    Raises:
        DamagedFileError: The file cannot be edited safely.
        EditedBlockError: A block is not as it was put there, and ``force`` is not given.
    """
    start = layout.copy()
    try:
        blocks_by_slot(path, kind, layout, _crowded(layout, known))
        kept = _drop(path, kind, layout, changes, known, force=force)
        wanted = [
            (marker, contribution)
            for marker, given in changes.items()
            for contribution in given
            if contribution.path not in kept.get(marker, {})
        ]
        scaffolds = dict(known.scaffolds)
        _end_last_line(layout, scaffolds, known)
        wanted_slots = {contribution.path for _, contribution in wanted}
        _clear(kind, layout, scaffolds, wanted_slots | _slots_in_use(kind, layout, known, changes, kept))
        _prepare(kind, layout, scaffolds, wanted_slots)
        digests = _put(kind, layout, wanted, known)
        _give_back_last_line(layout, scaffolds, known)
    except OutlineError as error:
        raise unsafe(path, _line_at_first(start, layout, error.position), error.reason) from None
    united = _united(known.digests, changes, kept, digests)
    return _gone_again(Merged(join(layout), united, scaffolds), absent=absent)


def _gone_again(merged: Merged, *, absent: bool) -> Merged:
    """Remember that there was no file, or let there be none again."""
    scaffolds = {path: scaffold for path, scaffold in merged.scaffolds.items() if path != NO_FILE}
    was_absent = absent or NO_FILE in merged.scaffolds
    if was_absent and merged.text:
        return replace(merged, scaffolds={**scaffolds, NO_FILE: Scaffold((), ())})
    return Merged(None if was_absent else merged.text, merged.digests, scaffolds)


def _line_at_first(start: Layout, layout: Layout, position: int) -> int:
    """Return the number that an own line had before room was made above it."""
    line = layout.own[position] if position < len(layout.own) else None
    return start.line_number(next((at for at, own in enumerate(start.own) if own is line), position))


def unsafe(path: Path, line: int, reason: str) -> DamagedFileError:
    """Return the refusal of a file that cannot be edited safely."""
    return DamagedFileError(path, line, reason, "Nothing was changed; fix that line and try again.")


def open_layout(path: Path, kind: SharedFile, text: bytes, known: Known) -> Layout:
    """Take a shared file apart.

    Raises:
        DamagedFileError: Its markers are damaged, or it cannot be read.
    """
    if len(text) > LARGEST_TEXT or text.count(b"\n") > MOST_LINES:
        raise unsafe(path, 1, f"the file has more than {LARGEST_TEXT // 1024**2} MB or {MOST_LINES} lines")
    try:
        return take_apart(text, kind, known.pairs, known.sealed)
    except DamagedMarkersError as error:
        way_out = "Nothing was changed. Put the missing line back, or see what 'workspace.sync --repair' would do."
        raise DamagedFileError(path, error.lines[0][0], f"a marker without its partner: {error}", way_out) from None
    except OutlineError as error:
        raise unsafe(path, error.position + 1, error.reason) from None


def blocks_by_slot(
    path: Path, kind: SharedFile, layout: Layout, marker_names: Sequence[str]
) -> dict[str, dict[KeyPath, tuple[int, Block]]]:
    """Return the blocks of these markers by marker and slot, with their positions.

    Raises:
        DamagedFileError: A slot holds two blocks of one marker.
    """
    names = set(marker_names)
    found = [(at, block) for at, block in layout.blocks() if block.marker in names]
    slots = kind.slots_of(layout, found)
    together: dict[tuple[str, KeyPath], list[tuple[int, Block]]] = {}
    for slot, located in zip(slots, found, strict=True):
        together.setdefault((located[1].marker, slot), []).append(located)
    for (marker, slot), there in together.items():
        if len(there) > 1:
            lines = [layout.line_of(at, block) for at, block in there]
            where = f" in '{'.'.join(slot)}'" if slot else ""
            listed = ", ".join(map(str, lines))
            raise unsafe(
                path, lines[0], f"{len(lines)} blocks of {marker!r}{where} (lines {listed}), where there can be one"
            )
    by_marker: dict[str, dict[KeyPath, tuple[int, Block]]] = {name: {} for name in marker_names}
    for slot, located in zip(slots, found, strict=True):
        by_marker[located[1].marker][slot] = located
    return by_marker


def _crowded(layout: Layout, known: Known) -> list[str]:
    """Return the markers that have more blocks than they were given, so that one of them may stand twice in a slot."""
    counted = Counter(block.marker for _, block in layout.blocks())
    return [marker for marker, count in counted.items() if count > len(known.digests.get(marker, "1"))]


def _drop(
    path: Path,
    kind: SharedFile,
    layout: Layout,
    changes: Mapping[str, Sequence[Contribution]],
    known: Known,
    *,
    force: bool,
) -> dict[str, Digests]:
    """Take out the blocks that are to go or to change; return those that stay as they are."""
    kept: dict[str, Digests] = {}
    located = blocks_by_slot(path, kind, layout, list(changes))
    for marker, blocks in located.items():
        wanted = {given.path: given.digests for given in changes[marker]}
        for slot, (at, block) in blocks.items():
            remembered, now = known.digests.get(marker, {}).get(slot), known.sealed(block.digest)
            # Also where a person wrote it there: it would be put there again, letter for letter.
            if remembered is not None and block.digest in wanted.get(slot, ()):
                kept.setdefault(marker, {})[slot] = now
                continue
            if now != remembered and not force:
                raise EditedBlockError(path, layout.line_of(at, block), marker, known=remembered is not None)
            layout.discard(at, block)
    return kept


def _slots_in_use(
    kind: SharedFile, layout: Layout, known: Known, changes: Mapping[str, object], kept: Mapping[str, Digests]
) -> set[KeyPath]:
    """Return the slots that still hold blocks; those of known modules are looked up, not searched for."""
    others = (slots for marker, slots in known.digests.items() if marker not in changes)
    in_use = {path for slots in (*others, *kept.values()) for path in slots}
    strangers = [found for found in layout.blocks() if found[1].marker not in known.digests]
    return in_use | set(kind.slots_of(layout, strangers))


def _clear(kind: SharedFile, layout: Layout, scaffolds: dict[KeyPath, Scaffold], in_use: set[KeyPath]) -> None:
    """Take back what made room for blocks in slots that have none left, the innermost first."""
    kept = {path[:depth] for path in in_use for depth in range(len(path) + 1)}
    for path in sorted(set(scaffolds) - kept - {END_OF_FILE, NO_FILE}, reverse=True):
        kind.clear(layout, path, scaffolds.pop(path))


def _end_last_line(layout: Layout, scaffolds: dict[KeyPath, Scaffold], known: Known) -> None:
    """See to it that the last own line ends, so that something can be put behind it."""
    if layout.own and not layout.own[-1].endswith(b"\n"):
        line, ending = layout.own[-1], ending_near(layout.own, len(layout.own) - 1)
        layout.own[-1] = line + ending
        remembered = known.sealed_line(line)
        scaffolds[END_OF_FILE] = Scaffold((remembered,), (remembered + ending,))


def _give_back_last_line(layout: Layout, scaffolds: dict[KeyPath, Scaffold], known: Known) -> None:
    """Drop the final line feed that was added, if nothing follows it."""
    scaffold = scaffolds.get(END_OF_FILE)
    if scaffold is None:
        return
    at_first = _last_line_at_first(layout, scaffold, known) if len(layout.own) not in layout.placed else None
    if at_first is not None:
        layout.own[-1:] = [at_first]
        del scaffolds[END_OF_FILE]
    elif not layout.placed:
        del scaffolds[END_OF_FILE]


def _last_line_at_first(layout: Layout, scaffold: Scaffold, known: Known) -> bytes | None:
    """Return the last own line without the ending that it was given; None where it has been changed since."""
    last = layout.own[-1] if layout.own else b""
    before, after = b"".join(scaffold.before), b"".join(scaffold.after)
    # An editor may have changed the endings throughout.
    without = (last.removesuffix(cut) for cut in (after.removeprefix(before), b"\r\n", b"\n") if last.endswith(cut))
    return next((line for line in without if known.sealed_line(line) == before), None)


def _prepare(kind: SharedFile, layout: Layout, scaffolds: dict[KeyPath, Scaffold], wanted: set[KeyPath]) -> None:
    for path in sorted(wanted):
        created = {made for made, scaffold in scaffolds.items() if not scaffold.before}
        scaffolds.update(kind.prepare(layout, path, created))


def _put(
    kind: SharedFile, layout: Layout, wanted: Sequence[tuple[str, Contribution]], known: Known
) -> dict[str, Digests]:
    digests: dict[str, Digests] = {}
    places = kind.places(layout, [contribution for _, contribution in wanted])
    for (marker, contribution), place in zip(wanted, places, strict=True):
        block = _block(marker, place, layout)
        layout.place(place.position, block)
        digests.setdefault(marker, {})[contribution.path] = known.sealed(block.digest)
    return digests


def _block(marker: str, place: Place, layout: Layout) -> Block:
    return make_block(marker, place.body, place.indent, ending_near(layout.own, place.position))


def _united(
    known: Mapping[str, Digests],
    changes: Mapping[str, Sequence[Contribution]],
    kept: Mapping[str, Digests],
    put: Mapping[str, Digests],
) -> dict[str, Digests]:
    untouched = {marker: slots for marker, slots in known.items() if marker not in changes}
    touched = {marker: {**kept.get(marker, {}), **put.get(marker, {})} for marker in changes}
    return {marker: dict(slots) for marker, slots in {**untouched, **touched}.items() if slots}
