"""What a format of shared files must provide so that blocks can be merged into its files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from dagster_module_builder.shared_files.blocks import (
    Block,
    Layout,
    Marker,
    cut,
    digest,
    markers,
    pair,
    split_lines,
    trusted,
)
from dagster_module_builder.shared_files.formats.outline import KeyPath, UnsafeEditError, refuse_large

#: Larger fragments are refused, in bytes; a typical one has less than 2 kB.
LARGEST_FRAGMENT = 256 * 1024


@dataclass(frozen=True)
class Contribution:
    """What a module contributes to one slot of a shared file.

    Attributes:
        path: The slot's key path; empty in a file without keys.
        mapping: The body as keys of a mapping, or as plain lines; None if it has no such form.
        sequence: The body as items of a list; None if it has no such form.
    """

    path: KeyPath
    mapping: tuple[bytes, ...] | None = None
    sequence: tuple[bytes, ...] | None = None

    @property
    def digests(self) -> set[str]:
        """The digests of its block in both forms."""
        return {digest(body) for body in (self.mapping, self.sequence) if body is not None}

    def __post_init__(self) -> None:
        for body in (self.mapping, self.sequence):
            if markers([line + b"\n" for line in body or ()]):
                raise UnsafeEditError(0, "a fragment may not contain a BEGIN or END marker")


def refuse_unfit(fragment: bytes) -> None:
    """Refuse a fragment that is too large or contains a marker.

    Raises:
        UnsafeEditError: With the line of the first marker.
    """
    if len(fragment) > LARGEST_FRAGMENT:
        raise UnsafeEditError(0, f"a fragment larger than {LARGEST_FRAGMENT // 1024} KB")
    for marker in markers(split_lines(fragment)):
        raise UnsafeEditError(marker.line, f"a fragment may not contain a marker ('{marker}')")


@dataclass(frozen=True)
class Scaffold:
    """A change to the owner's lines that made room for blocks; it is undone when the last block is removed."""

    before: tuple[bytes, ...]
    after: tuple[bytes, ...]


@dataclass(frozen=True)
class Placement:
    """Where a new block goes: the own line after it, its indentation, and its body in the form that fits there."""

    position: int
    indent: int
    body: tuple[bytes, ...]


class SharedFile(Protocol):
    """A format of shared files. Its methods see only the owner's lines, without blocks."""

    name: str

    def text_lines(self, own: Sequence[bytes]) -> set[int]:
        """Return the lines inside multi-line texts, where a marker is not a comment."""

    def slots_of(self, layout: Layout, blocks: Collection[tuple[int, Block]]) -> list[KeyPath]:
        """Return the slot of each of these blocks, which come with their positions."""

    def prepare(self, layout: Layout, path: KeyPath, created: Collection[KeyPath]) -> dict[KeyPath, Scaffold]:
        """Make room for blocks in a slot; ``created`` are the slots whose keys were created for blocks."""

    def clear(self, layout: Layout, path: KeyPath, scaffold: Scaffold) -> None:
        """Undo a slot's scaffold, unless the owner has changed it since."""

    def placements(self, layout: Layout, contributions: Sequence[Contribution]) -> list[Placement]:
        """Return the placement of each contribution."""


class DamagedMarkersError(Exception):
    """Markers without a partner, as line numbers of the whole file (counted from 1) and texts."""

    def __init__(self, lines: list[tuple[int, str]]) -> None:
        super().__init__(lines)
        self.lines = lines

    def __str__(self) -> str:
        return ", ".join(f"{text!r} in line {line}" for line, text in self.lines)


def take_apart(
    text: bytes, kind: SharedFile, known: Collection[tuple[str, str]] = (), sealed: Callable[[str], str] = str
) -> Layout:
    """Return a file in parts: its blocks and its owner's lines.

    Blocks whose marker and digest (through ``sealed``) are ``known`` are not parsed, so the cost of reading a file does
    not grow with the number of its modules. Any other marker counts only if the format says that it is a comment.

    Raises:
        DamagedMarkersError: A marker has no partner, or pairs overlap.
        UnsafeEditError: The file cannot be read; with the line number in the whole file, counted from 0.
    """
    lines = split_lines(text)
    sure = trusted(lines, pair(markers(lines))[0], known, sealed)
    inside = {line for begin, end in sure for line in range(begin.line, end.line + 1)}
    origin = [line for line in range(len(lines)) if line not in inside] if inside else range(len(lines))
    own = [lines[line] for line in origin]
    try:
        refuse_large(own)
        unproven = markers(own)
        texts = kind.text_lines(own) if unproven else set()
    except UnsafeEditError as error:
        raise UnsafeEditError(origin[error.position], error.reason) from None
    pairs, left = pair([marker for marker in unproven if marker.line not in texts])
    if left:
        raise DamagedMarkersError([(origin[marker.line] + 1, str(marker)) for marker in left])
    proven = [(_moved(begin, origin), _moved(end, origin)) for begin, end in pairs]
    return cut(lines, [*sure, *proven])


def _moved(marker: Marker, origin: Sequence[int]) -> Marker:
    return Marker(origin[marker.line], marker.end, marker.name)
