"""Marked blocks in the lines of a text file: found, cut out, put back. Bytes only.

A block is the lines from ``# BEGIN: <marker>`` to ``# END: <marker>``. A file is taken apart into the lines that are
its owner's and the blocks that stand between them, edited as such, and put together again; what nobody touched comes
back byte for byte.
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
    """A marker line: its place (counted from 0), which end of a block it is, and whose."""

    line: int
    end: bool
    name: str

    def __str__(self) -> str:
        return f"# {'END' if self.end else 'BEGIN'}: {self.name}"


@dataclass(frozen=True)
class Block:
    """A block as it stands in its file: marker lines, indentation and line endings included."""

    marker: str
    lines: tuple[bytes, ...]

    @property
    def indent(self) -> int:
        """How many bytes of white space stand before the BEGIN marker."""
        return len(self.lines[0]) - len(self.lines[0].lstrip(b" \t"))

    @property
    def body(self) -> tuple[bytes, ...]:
        """The lines between the markers, without the block's own indentation and line endings."""
        margin = self.lines[0][: self.indent]
        return tuple(line.rstrip(b"\r\n").removeprefix(margin) for line in self.lines[1:-1])

    @property
    def digest(self) -> str:
        """The SHA-256 of the body: the same wherever and with whichever line ending the block stands."""
        return digest(self.body)


def digest(body: Iterable[bytes]) -> str:
    """Return the SHA-256 (hexadecimal) of a block's body."""
    return hashlib.sha256(b"\n".join(body)).hexdigest()


def make_block(marker: str, body: Iterable[bytes], indent: int, ending: bytes) -> Block:
    """Write a body between its markers, moved right by ``indent`` spaces; empty lines stay empty."""
    margin = b" " * indent
    name = marker.encode()
    lines = (b"# BEGIN: " + name, *body, b"# END: " + name)
    return Block(marker, tuple((margin + line if line else line) + ending for line in lines))


@dataclass
class Layout:
    """A file taken apart: ``own`` lines, and ``placed`` blocks by the own line that they stand before."""

    own: list[bytes]
    placed: dict[int, list[Block]] = field(default_factory=dict)

    def copy(self) -> Layout:
        """Return a layout that can be edited without this one."""
        return Layout(list(self.own), {at: list(blocks) for at, blocks in self.placed.items()})

    def line_number(self, position: int) -> int:
        """Return where own line ``position`` stands in the whole file, counted from 1."""
        above = (block for at, blocks in self.placed.items() if at <= position for block in blocks)
        return position + 1 + sum(len(block.lines) for block in above)

    def line_of(self, position: int, block: Block) -> int:
        """Return where a block at ``position`` begins in the whole file, counted from 1."""
        above = [other for at, blocks in self.placed.items() if at < position for other in blocks]
        for other in self.placed[position]:
            if other is block:
                break
            above.append(other)
        return position + 1 + sum(len(other.lines) for other in above)

    def blocks(self) -> list[tuple[int, Block]]:
        """Return every block with its position, from the top of the file."""
        return [(at, block) for at in sorted(self.placed) for block in self.placed[at]]

    def discard(self, position: int, block: Block) -> None:
        """Take one block out."""
        self.placed[position].remove(block)
        if not self.placed[position]:
            del self.placed[position]

    def place(self, position: int, block: Block) -> None:
        """Put one block before own line ``position``: deeper blocks first, then by marker."""
        insort(self.placed.setdefault(position, []), block, key=lambda other: (-other.indent, other.marker))

    def replace_own(self, position: int, count: int, lines: Sequence[bytes], inner: int = 0) -> None:
        """Put ``lines`` in the place of ``count`` own lines.

        Args:
            position: The first own line that goes, or before which the new ones come when ``count`` is 0.
            count: How many own lines go.
            lines: What comes instead.
            inner: Blocks at ``position`` indented deeper than this belong to what stands above, and stay there.
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
    """Put a file together again."""
    parts: list[bytes] = []
    start = 0
    for position in sorted(layout.placed):
        parts.extend(layout.own[start:position])
        for block in layout.placed[position]:
            parts.extend(block.lines)
        start = position
    return b"".join([*parts, *layout.own[start:]])


def markers(lines: Sequence[bytes]) -> list[Marker]:
    """Return every line that looks like a marker; whether it is a comment only its file's format knows."""
    found = (_MARKER_LINE.fullmatch(line) if b"# " in line else None for line in lines)
    return [Marker(i, match[2] == b"END", match[3].decode()) for i, match in enumerate(found) if match]


def pair(found: Sequence[Marker]) -> tuple[list[tuple[Marker, Marker]], list[Marker]]:
    """Pair every BEGIN with the END that follows it directly; return the pairs and the markers left over."""
    pairs: list[tuple[Marker, Marker]] = []
    left: list[Marker] = []
    opened: Marker | None = None
    for marker in found:
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
    """Take the blocks between these pairs of markers out of the lines."""
    own: list[bytes] = []
    placed: dict[int, list[Block]] = {}
    start = 0
    for begin, end in sorted(pairs, key=lambda found: found[0].line):
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
    """Return the pairs whose marker and digest, as ``sealed`` says it, are ``known``: blocks as they were put there."""
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
