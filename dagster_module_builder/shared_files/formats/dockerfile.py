"""``Dockerfile``: what the shared image needs for a module.

The format is the Dockerfile reference's (https://docs.docker.com/reference/dockerfile/).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from dagster_module_builder.shared_files.blocks import Block, Layout, split_lines
from dagster_module_builder.shared_files.formats.line_file import LineFile
from dagster_module_builder.shared_files.formats.outline import KeyPath, OutlineError
from dagster_module_builder.shared_files.formats.shared_file import Contribution, Place

NAME = "Dockerfile"

#: A word of the shell; a heredoc begins in a word of its own, and is none in ``$((1<<3))`` or in quotes.
_WORD = re.compile(rb"""(?:[^\s'"\\]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+""", re.DOTALL)
_HEREDOC = re.compile(rb"\d*<<(-?)([^<]+)")
#: A backslash before the one at the end takes its meaning away, as BuildKit's parser has it (``parser/parser.go``).
_CONTINUES = re.compile(rb"(?:.*[^\\])?\\[ \t]*\r?\n?", re.DOTALL)
_TAKES_HEREDOCS = {b"RUN", b"COPY", b"ADD", b"ONBUILD"}
#: As BuildKit's parser has it (``parser/directives.go``).
_DIRECTIVE = re.compile(rb"(?:\xef\xbb\xbf)?\s*#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$")
_COMMENT = re.compile(rb"\s*#")
#: From the first of these on, the last stage is about running the image and not about what it holds.
_RUNNING = {b"USER", b"CMD", b"ENTRYPOINT", b"HEALTHCHECK", b"STOPSIGNAL"}
_STAGE_NAME = re.compile(rb"\sAS\s+(\S+)\s*$", re.IGNORECASE)
#: A stage whose base left root behind goes back to it in order to install something.
_BACK_TO_ROOT = re.compile(rb"\s*USER\s+(?:root|0)(?::\w+)?\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Statement:
    """An instruction as BuildKit takes it from the lines of a file.

    Attributes:
        first: Its first line, counted from 0.
        body: The line after its last one, heredocs left out.
        end: The line after its last one.
        text: It as one line, without the comments between.
        ended: Whether its end is in the file.
    """

    first: int
    body: int
    end: int
    text: bytes
    ended: bool

    @property
    def keyword(self) -> bytes:
        """Its keyword, in capitals."""
        return self.text.split(maxsplit=1)[0].upper()


def instructions(own: Sequence[bytes]) -> Iterator[tuple[int, int, bytes]]:
    """Yield each instruction's first line, the line after its last, and its keyword in capitals."""
    for statement in statements(own):
        yield statement.first, statement.end, statement.keyword


def statements(own: Sequence[bytes]) -> Iterator[Statement]:
    """Yield the instructions, also what is none that Docker knows."""
    number = 0
    while number < len(own):
        first = number
        if _is_nothing(own[first]):
            number += 1
            continue
        number, continued = _end_of_line(own, first)
        body, text = number, _joined(own[first:number])
        if not text.strip():
            continue
        for dash, word in _heredocs(text):
            while number < len(own) and (own[number].strip(b"\t\r\n") if dash else own[number].strip(b"\r\n")) != word:
                number += 1
            number += 1
        yield Statement(first, body, min(number, len(own)), text, not continued and number <= len(own))


def _joined(lines: Sequence[bytes]) -> bytes:
    """Return the lines of one instruction as one."""
    kept = (line.rstrip(b"\r\n") for line in lines if not _is_nothing(line))
    return b"".join(line.rstrip(b" \t")[:-1] if _CONTINUES.fullmatch(line) else line for line in kept)


def _end_of_line(own: Sequence[bytes], number: int) -> tuple[int, bool]:
    """Return the line after a line and those that continue it, and whether the last one wants another."""
    continued = True
    while continued and number < len(own):
        line = own[number]
        # Comments and empty lines between are passed over.
        continued = _is_nothing(line) or _CONTINUES.fullmatch(line) is not None
        number += 1
    return number, continued


def _is_nothing(line: bytes) -> bool:
    return not line.strip() or _COMMENT.match(line) is not None


def _heredocs(text: bytes) -> list[tuple[bytes, bytes]]:
    """Return the heredocs that an instruction begins: whether tabs before their lines count for nothing, their end."""
    if text.split(maxsplit=1)[0].upper() not in _TAKES_HEREDOCS:
        return []
    found = filter(None, (_HEREDOC.fullmatch(word[0]) for word in _WORD.finditer(text)))
    return [(match[1], match[2].strip(b"'\"")) for match in found]


def refuse_unfinished(own: Sequence[bytes]) -> None:
    """Refuse an instruction whose end is missing: it would swallow what is put behind it.

    Raises:
        OutlineError: With the instruction's first line.
    """
    for statement in statements(own):
        if not statement.ended:
            raise OutlineError(statement.first, "this instruction has no end: a line that is continued, or a heredoc")


def refuse_other_escape(own: Sequence[bytes]) -> None:
    """Refuse a file in whose lines a backslash is no escape, as it is in those of modules.

    Directives stand before everything else (https://docs.docker.com/reference/dockerfile/#parser-directives).

    Raises:
        OutlineError: With the directive's line.
    """
    for number, directive in enumerate(map(_DIRECTIVE.match, own)):
        if directive is None:
            return
        if directive[1].lower() == b"escape" and directive[2] != b"\\":
            escape = directive[2].decode("utf-8", "replace")
            cure = "delete this line, and continue yours with a backslash, as modules continue theirs"
            raise OutlineError(number, f"'# escape={escape}' changes how lines are continued: {cure}")


def text_lines(own: Sequence[bytes]) -> set[int]:
    """Return the lines inside an instruction of several lines (a heredoc, or one continued with a backslash)."""
    return {line for first, end, _ in instructions(own) for line in range(first + 1, end)}


def stages(own: Sequence[bytes]) -> list[tuple[int, str | None]]:
    """Return the first line of each stage, with its name in lower case, if it has one."""
    froms = (first for first, _, keyword in instructions(own) if keyword == b"FROM")
    named = ((first, _STAGE_NAME.search(own[first])) for first in froms)
    return [(first, found[1].decode().lower() if found else None) for first, found in named]


def position(own: Sequence[bytes], path: KeyPath = ()) -> int:
    """Return where a stage turns from what the image holds to how it runs, comments above included.

    Args:
        own: The file's own lines.
        path: The stage's name; the last stage when empty.

    Raises:
        OutlineError: There is no such stage.
    """
    begin, end = _bounds(own, path)
    inside = [(first, after, keyword) for first, after, keyword in instructions(own) if begin < first < end]
    running = (first for first, _, keyword in inside if keyword in _RUNNING and not _BACK_TO_ROOT.match(own[first]))
    here = next(running, None)
    if here is None:
        # A comment before the next stage is about that one.
        return end if end == len(own) else max((after for _, after, _ in inside), default=begin + 1)
    while here - 1 > begin and _COMMENT.match(own[here - 1]):
        here -= 1
    return here


def _bounds(own: Sequence[bytes], path: KeyPath) -> tuple[int, int]:
    found = stages(own)
    if not path:
        return (found[-1][0] if found else -1), len(own)
    for number, (first, name) in enumerate(found):
        if name == path[0]:
            return first, found[number + 1][0] if number + 1 < len(found) else len(own)
    raise OutlineError(0, f"there is no stage {path[0]!r}")


class Dockerfile(LineFile):
    """A Dockerfile: a slot in its last stage, and one in each other stage that has a name."""

    def slots_of(self, layout: Layout, blocks: Collection[tuple[int, Block]]) -> list[KeyPath]:
        """Return the slot that each of these blocks (with its position) stands in."""
        found = stages(layout.own) if blocks else []
        return [_slot(found, at) for at, _ in blocks]

    def places(self, layout: Layout, contributions: Sequence[Contribution]) -> list[Place]:
        """Return where each contribution goes."""
        refuse_unfinished(layout.own)
        refuse_other_escape(layout.own)
        return [Place(position(layout.own, one.path), 0, one.mapping or ()) for one in contributions]


def _slot(found: Sequence[tuple[int, str | None]], at: int) -> KeyPath:
    inside = [name for first, name in found if first < at]
    name = inside[-1] if inside else None
    return (name,) if name and len(inside) < len(found) else ()


FILE = Dockerfile(NAME, text_lines)


def contributions(fragment: bytes) -> list[Contribution]:
    """Return what a snippet gives to the Dockerfile; nothing where it is empty.

    Raises:
        OutlineError: An instruction's end is missing.
    """
    lines = split_lines(fragment)
    refuse_unfinished(lines)
    body = tuple(line.rstrip(b"\r\n") for line in lines)
    return [Contribution((), mapping=body)] if any(line.strip() for line in body) else []
