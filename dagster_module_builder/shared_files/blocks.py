"""Marked blocks in the lines of a text file: found, cut out, put back. Bytes only.

A block is the lines from ``# BEGIN: <marker>`` to ``# END: <marker>``. A file is split into its owner's lines and the
blocks between them, edited in this form, and joined again. Unedited lines stay the same byte for byte.
"""

from __future__ import annotations

import hashlib
import re
from bisect import insort
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

_MARKER_LINE = re.compile(rb"([ \t]*)# (BEGIN|END): (\w+)[ \t]*\r?\n?")


@dataclass(frozen=True)
class Marker:
    """A marker line: its number (counted from 0), whether it ends a block, and the name in it."""

    line: int
    end: bool
    name: str

    def __str__(self) -> str:
        return f"# {'END' if self.end else 'BEGIN'}: {self.name}"


@dataclass(frozen=True)
class Block:
    """A block as its file has it, with marker lines, indentation and line endings."""

    marker: str
    lines: tuple[bytes, ...]

    @property
    def indent(self) -> int:
        """How many bytes of white space precede the BEGIN marker."""
        return len(self.lines[0]) - len(self.lines[0].lstrip(b" \t"))

    @property
    def body(self) -> tuple[bytes, ...]:
        """The lines between the markers, without the block's indentation and line endings."""
        margin = self.lines[0][: self.indent]
        return tuple(line.rstrip(b"\r\n").removeprefix(margin) for line in self.lines[1:-1])

    @property
    def digest(self) -> str:
        """The SHA-256 of the body, which does not depend on the block's indentation and line endings."""
        return digest(self.body)


def digest(body: Iterable[bytes]) -> str:
    """Return the SHA-256 (hexadecimal) of a block's body."""
    return hashlib.sha256(b"\n".join(body)).hexdigest()


def make_block(marker: str, body: Iterable[bytes], indent: int, ending: bytes) -> Block:
    """Return a block with this body, indented by ``indent`` spaces; empty lines stay empty."""
    margin = b" " * indent
    name = marker.encode()
    lines = (b"# BEGIN: " + name, *body, b"# END: " + name)
    return Block(marker, tuple((margin + line if line else line) + ending for line in lines))


@dataclass
class Layout:
    """A file in parts: its owner's lines (``own``), and the blocks by the own line that they precede (``placed``)."""

    own: list[bytes]
    placed: dict[int, list[Block]] = field(default_factory=dict)

    def copy(self) -> Layout:
        """Return an independent copy."""
        return Layout(list(self.own), {at: list(blocks) for at, blocks in self.placed.items()})

    def line_number(self, position: int) -> int:
        """Return the line number of own line ``position`` in the whole file, counted from 1."""
        above = (block for at, blocks in self.placed.items() if at <= position for block in blocks)
        return position + 1 + sum(len(block.lines) for block in above)

    def line_of(self, position: int, block: Block) -> int:
        """Return the line number in the whole file, counted from 1, at which a block at ``position`` begins."""
        above = [other for at, blocks in self.placed.items() if at < position for other in blocks]
        for other in self.placed[position]:
            if other is block:
                break
            above.append(other)
        return position + 1 + sum(len(other.lines) for other in above)

    def blocks(self) -> list[tuple[int, Block]]:
        """Return all blocks with their positions, from the top of the file."""
        return [(at, block) for at in sorted(self.placed) for block in self.placed[at]]

    def discard(self, position: int, block: Block) -> None:
        """Remove one block."""
        self.placed[position].remove(block)
        if not self.placed[position]:
            del self.placed[position]

    def place(self, position: int, block: Block) -> None:
        """Insert one block before own line ``position``: deeper blocks first, then by marker."""
        insort(self.placed.setdefault(position, []), block, key=lambda other: (-other.indent, other.marker))

    def replace_own(self, position: int, count: int, lines: Sequence[bytes], inner: int = 0) -> None:
        """Replace ``count`` own lines.

        Args:
            position: The first own line to replace, or the one to insert before if ``count`` is 0.
            count: How many own lines to replace.
            lines: The new lines.
            inner: Blocks at ``position`` indented deeper than this belong to the lines above, and stay there.
        """
        shift = len(lines) - count
        moved: dict[int, list[Block]] = {}
        for at, block in self.blocks():
            stays = at < position or (at == position and (count or block.indent > inner))
            moved.setdefault(at if stays else max(at + shift, position), []).append(block)
        self.own[position : position + count] = lines
        self.placed = moved


def split_lines(text: bytes) -> list[bytes]:
    r"""Split after ``\n`` bytes only (``bytes.splitlines`` breaks on a lone ``\r`` too)."""
    lines = [line + b"\n" for line in text.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def join(layout: Layout) -> bytes:
    """Return the bytes of a file from its parts."""
    parts: list[bytes] = []
    start = 0
    for position in sorted(layout.placed):
        parts.extend(layout.own[start:position])
        for block in layout.placed[position]:
            parts.extend(block.lines)
        start = position
    return b"".join([*parts, *layout.own[start:]])


def markers(lines: Sequence[bytes]) -> list[Marker]:
    """Return every line that looks like a marker. Only the file's format knows whether it is a comment."""
    matches = (_MARKER_LINE.fullmatch(line) if b"# " in line else None for line in lines)
    return [Marker(i, match[2] == b"END", match[3].decode()) for i, match in enumerate(matches) if match]


def pair(marker_lines: Sequence[Marker]) -> tuple[list[tuple[Marker, Marker]], list[Marker]]:
    """Pair every BEGIN with the END that directly follows it; return the pairs and the other markers."""
    pairs: list[tuple[Marker, Marker]] = []
    left: list[Marker] = []
    opened: Marker | None = None
    for marker in marker_lines:
        if marker.end and opened and opened.name == marker.name:
            pairs.append((opened, marker))
            opened = None
            continue
        if opened:
            left.append(opened)
        opened = None if marker.end else marker
        if marker.end:
            left.append(marker)
    return pairs, [*left, opened] if opened else left


def cut(lines: Sequence[bytes], pairs: Iterable[tuple[Marker, Marker]]) -> Layout:
    """Return a file in parts: the blocks between these pairs of markers, and the other lines."""
    own: list[bytes] = []
    placed: dict[int, list[Block]] = {}
    start = 0
    for begin, end in sorted(pairs, key=lambda markers: markers[0].line):
        own.extend(lines[start : begin.line])
        placed.setdefault(len(own), []).append(Block(begin.name, tuple(lines[begin.line : end.line + 1])))
        start = end.line + 1
    own.extend(lines[start:])
    return Layout(own, placed)


def trusted(
    lines: Sequence[bytes],
    pairs: Iterable[tuple[Marker, Marker]],
    known: Collection[tuple[str, str]],
    sealed: Callable[[str], str] = str,
) -> list[tuple[Marker, Marker]]:
    """Return the pairs whose marker and digest (through ``sealed``) are ``known``: blocks without manual edits."""
    return [
        (begin, end)
        for begin, end in pairs
        if (begin.name, sealed(Block(begin.name, tuple(lines[begin.line : end.line + 1])).digest)) in known
    ]


def bare(lines: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return lines without their endings, which an editor may have changed throughout."""
    return tuple(line.rstrip(b"\r\n") for line in lines)


def ending_near(own: Sequence[bytes], position: int) -> bytes:
    r"""Return the line ending of the nearest line above, else below, else ``\n``."""
    for index in [*range(position - 1, -1, -1), *range(position, len(own))]:
        if own[index].endswith(b"\n"):
            return b"\r\n" if own[index].endswith(b"\r\n") else b"\n"
    return b"\n"
