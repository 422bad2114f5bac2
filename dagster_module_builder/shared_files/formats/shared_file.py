"""What a shared file has to tell for blocks to be merged into it."""

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
from dagster_module_builder.shared_files.formats.outline import KeyPath, OutlineError, refuse_large

#: Fragments beyond this many bytes are refused: a module writes a screen or two.
LARGEST_FRAGMENT = 256 * 1024


@dataclass(frozen=True)
class Contribution:
    """What a module gives to one slot of a shared file.

    Attributes:
        path: The slot's key path; empty in a file without keys.
        mapping: The body as keys of a mapping, or as plain lines; None where it makes no sense.
        sequence: The body as items of a list; None where it makes no sense.
    """

    path: KeyPath
    mapping: tuple[bytes, ...] | None = None
    sequence: tuple[bytes, ...] | None = None

    @property
    def digests(self) -> set[str]:
        """The digest that a block of it has, in either form."""
        return {digest(body) for body in (self.mapping, self.sequence) if body is not None}

    def __post_init__(self) -> None:
        for body in (self.mapping, self.sequence):
            if markers([line + b"\n" for line in body or ()]):
                raise OutlineError(0, "a fragment may not contain a BEGIN or END marker")


def refuse_unfit(fragment: bytes) -> None:
    """Refuse a fragment that is too large, or contains what would be read as a block's beginning or end.

    Raises:
        OutlineError: With the first such line.
    """
    if len(fragment) > LARGEST_FRAGMENT:
        raise OutlineError(0, f"a fragment larger than {LARGEST_FRAGMENT // 1024} KB")
    for marker in markers(split_lines(fragment)):
        raise OutlineError(marker.line, f"a fragment may not contain a marker ('{marker}')")


@dataclass(frozen=True)
class Scaffold:
    """A change to the owner's lines that made room for blocks, so that it can be taken back with the last of them."""

    before: tuple[bytes, ...]
    after: tuple[bytes, ...]


@dataclass(frozen=True)
class Place:
    """Where a new block goes: before which own line, how far to the right, and in which of its forms."""

    position: int
    indent: int
    body: tuple[bytes, ...]


class SharedFile(Protocol):
    """One format of shared files. Its methods see the owner's lines only, with all blocks taken out."""

    name: str

    def text_lines(self, own: Sequence[bytes]) -> set[int]:
        """Return the lines inside a text of several lines, where a marker is no comment."""

    def slots_of(self, layout: Layout, blocks: Collection[tuple[int, Block]]) -> list[KeyPath]:
        """Return the slot that each of these blocks (with its position) stands in."""

    def prepare(self, layout: Layout, path: KeyPath, made: Collection[KeyPath]) -> dict[KeyPath, Scaffold]:
        """Make room for blocks in a slot where there is none; ``made`` are the slots whose keys were made."""

    def clear(self, layout: Layout, path: KeyPath, scaffold: Scaffold) -> None:
        """Take a slot's scaffold back, unless its owner has changed it since."""

    def places(self, layout: Layout, contributions: Sequence[Contribution]) -> list[Place]:
        """Return where each contribution goes."""


class DamagedMarkersError(Exception):
    """Markers without a partner: the whole file's line numbers (counted from 1) and texts."""

    def __init__(self, lines: list[tuple[int, str]]) -> None:
        super().__init__(lines)
        self.lines = lines

    def __str__(self) -> str:
        return ", ".join(f"{text!r} in line {line}" for line, text in self.lines)


def take_apart(
    text: bytes, kind: SharedFile, known: Collection[tuple[str, str]] = (), sealed: Callable[[str], str] = str
) -> Layout:
    """Take the blocks out of a file.

    Blocks whose marker and digest, as ``sealed`` says it, are ``known`` are cut out unread, so that the cost of reading
    a file does not grow with the number of modules in it. Any other marker is first proven to be a comment.

    Raises:
        DamagedMarkersError: A marker has no partner, or pairs overlap.
        OutlineError: The file cannot be read; with the line of the whole file, blocks included.
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
    except OutlineError as error:
        raise OutlineError(origin[error.position], error.reason) from None
    pairs, left = pair([marker for marker in unproven if marker.line not in texts])
    if left:
        raise DamagedMarkersError([(origin[marker.line] + 1, str(marker)) for marker in left])
    proven = [(_moved(begin, origin), _moved(end, origin)) for begin, end in pairs]
    return cut(lines, [*sure, *proven])


def _moved(marker: Marker, origin: Sequence[int]) -> Marker:
    return Marker(origin[marker.line], marker.end, marker.name)
