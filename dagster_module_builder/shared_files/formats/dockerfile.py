"""``Dockerfile``: a module's instructions in the shared image.

The format is the Dockerfile reference's (https://docs.docker.com/reference/dockerfile/).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from dagster_module_builder.shared_files.blocks import Block, Layout, split_lines
from dagster_module_builder.shared_files.formats.line_file import LineFile
from dagster_module_builder.shared_files.formats.outline import KeyPath, UnsafeEditError
from dagster_module_builder.shared_files.formats.shared_file import Contribution, Placement

NAME = "Dockerfile"

#: A word of the shell. A heredoc begins with a word (``<<EOF``); ``$((1<<3))`` and quoted text contain none.
_WORD = re.compile(rb"""(?:[^\s'"\\]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+""", re.DOTALL)
_HEREDOC = re.compile(rb"\d*<<(-?)([^<]+)")
#: A final backslash continues the line unless another one precedes it, as in BuildKit's ``parser/parser.go``.
_CONTINUES = re.compile(rb"(?:.*[^\\])?\\[ \t]*\r?\n?", re.DOTALL)
_TAKES_HEREDOCS = {b"RUN", b"COPY", b"ADD", b"ONBUILD"}
#: As in BuildKit's ``parser/directives.go``.
_DIRECTIVE = re.compile(rb"(?:\xef\xbb\xbf)?\s*#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$")
_COMMENT = re.compile(rb"\s*#")
#: From the first of these instructions on, a stage says how the image runs, not what it contains.
_RUNNING = {b"USER", b"CMD", b"ENTRYPOINT", b"HEALTHCHECK", b"STOPSIGNAL"}
_STAGE_NAME = re.compile(rb"\sAS\s+(\S+)\s*$", re.IGNORECASE)
#: Instructions after which an image has other packages of Python.
_INSTALLS = re.compile(
    r"RUN\s.*\b(?:pip[\d.]*|uv|poetry|pdm|pipenv|conda|mamba|micromamba)\b.*\b(?:install|sync|add|create|update)\b"
    r"|(?:COPY|ADD)\s.*--from=",
    re.IGNORECASE | re.DOTALL,
)
#: A stage whose base image has another user becomes root again to install something.
_BACK_TO_ROOT = re.compile(rb"\s*USER\s+(?:root|0)(?::\w+)?\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Instruction:
    """An instruction as BuildKit reads it from the lines of a file.

    Attributes:
        first: Its first line, counted from 0.
        body: The line after its last one, without heredocs.
        end: The line after its last one.
        text: The instruction as one line, without comments.
        ended: Whether its end is in the file.
    """

    first: int
    body: int
    end: int
    text: bytes
    ended: bool

    @property
    def keyword(self) -> bytes:
        """Its keyword in capitals: ``b"RUN"``."""
        return self.text.split(maxsplit=1)[0].upper()


def instructions(own: Sequence[bytes]) -> Iterator[Instruction]:
    """Yield the instructions, including unknown ones."""
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
        yield Instruction(first, body, min(number, len(own)), text, not continued and number <= len(own))


def _joined(lines: Sequence[bytes]) -> bytes:
    """Return the lines of an instruction as one line."""
    kept = (line.rstrip(b"\r\n") for line in lines if not _is_nothing(line))
    return b"".join(line.rstrip(b" \t")[:-1] if _CONTINUES.fullmatch(line) else line for line in kept)


def _end_of_line(own: Sequence[bytes], number: int) -> tuple[int, bool]:
    """Return the line after a continued line, and whether its end is missing."""
    continued = True
    while continued and number < len(own):
        line = own[number]
        # Comments and empty lines do not end it.
        continued = _is_nothing(line) or _CONTINUES.fullmatch(line) is not None
        number += 1
    return number, continued


def _is_nothing(line: bytes) -> bool:
    return not line.strip() or _COMMENT.match(line) is not None


def _heredocs(text: bytes) -> list[tuple[bytes, bytes]]:
    """Return the heredocs of an instruction: whether leading tabs are ignored, and the final line."""
    if text.split(maxsplit=1)[0].upper() not in _TAKES_HEREDOCS:
        return []
    matches = filter(None, (_HEREDOC.fullmatch(word[0]) for word in _WORD.finditer(text)))
    return [(match[1], match[2].strip(b"'\"")) for match in matches]


def refuse_unfinished(own: Sequence[bytes]) -> None:
    """Refuse an instruction without an end: it would swallow the lines put after it.

    Raises:
        UnsafeEditError: With the instruction's first line.
    """
    for instruction in instructions(own):
        if not instruction.ended:
            raise UnsafeEditError(instruction.first, "this instruction has no end: a continued line, or a heredoc")


def refuse_other_escape(own: Sequence[bytes]) -> None:
    """Refuse a file with another escape character than the backslash, which modules use.

    Directives precede everything else (https://docs.docker.com/reference/dockerfile/#parser-directives).

    Raises:
        UnsafeEditError: With the directive's line.
    """
    for number, directive in enumerate(map(_DIRECTIVE.match, own)):
        if directive is None:
            return
        if directive[1].lower() == b"escape" and directive[2] != b"\\":
            escape = directive[2].decode("utf-8", "replace")
            cure = "delete this line, and continue your lines with a backslash, as modules do"
            raise UnsafeEditError(number, f"'# escape={escape}' changes how lines are continued: {cure}")


def text_lines(own: Sequence[bytes]) -> set[int]:
    """Return the lines inside multi-line instructions (heredocs, and lines continued with a backslash)."""
    return {line for instruction in instructions(own) for line in range(instruction.first + 1, instruction.end)}


def stages(own: Sequence[bytes]) -> list[tuple[int, str | None]]:
    """Return the first line of each stage, and its name in lower case or None."""
    froms = (instruction.first for instruction in instructions(own) if instruction.keyword == b"FROM")
    named = ((first, _STAGE_NAME.search(own[first])) for first in froms)
    return [(first, match[1].decode().lower() if match else None) for first, match in named]


def position(own: Sequence[bytes], path: KeyPath = ()) -> int:
    """Return the line before which a stage takes blocks: after what the image contains, before how it runs.

    Comments directly above that line belong to it. Where packages are installed after a ``USER``, blocks come after
    them: a module's packages before them would decide which versions they get.

    Args:
        own: The file's own lines.
        path: The stage's name; empty for the last stage.

    Raises:
        UnsafeEditError: There is no such stage.
    """
    begin, end = _bounds(own, path)
    inside = [instruction for instruction in instructions(own) if begin < instruction.first < end]
    installing = (one.first for one in inside if installs_packages(one.text.decode("utf-8", "replace")))
    last = max(installing, default=begin)
    after = (instruction for instruction in inside if instruction.first > last)
    line = next((instruction.first for instruction in after if _is_about_running(instruction, own)), None)
    if line is None:
        # A comment before the next stage belongs to that stage.
        return end if end == len(own) else max((instruction.end for instruction in inside), default=begin + 1)
    while line - 1 > begin and _COMMENT.match(own[line - 1]):
        line -= 1
    return line


def installs_packages(instruction: str) -> bool:
    """Return whether an image has other packages of Python after an instruction."""
    return _INSTALLS.match(instruction.lstrip()) is not None


def _is_about_running(instruction: Instruction, own: Sequence[bytes]) -> bool:
    return instruction.keyword in _RUNNING and not _BACK_TO_ROOT.match(own[instruction.first])


def _bounds(own: Sequence[bytes], path: KeyPath) -> tuple[int, int]:
    """Return the first line of a stage and the line after its last."""
    all_stages = stages(own)
    if not path:
        return (all_stages[-1][0] if all_stages else -1), len(own)
    for number, (first, name) in enumerate(all_stages):
        if name == path[0]:
            return first, all_stages[number + 1][0] if number + 1 < len(all_stages) else len(own)
    raise UnsafeEditError(0, f"there is no stage {path[0]!r}")


class Dockerfile(LineFile):
    """A Dockerfile: a slot in its last stage, and one in each other stage that has a name."""

    def slots_of(self, layout: Layout, blocks: Collection[tuple[int, Block]]) -> list[KeyPath]:
        """Return the slot of each of these blocks, which come with their positions."""
        all_stages = stages(layout.own) if blocks else []
        return [_slot(all_stages, at) for at, _ in blocks]

    def placements(self, layout: Layout, contributions: Sequence[Contribution]) -> list[Placement]:
        """Return the placement of each contribution."""
        refuse_unfinished(layout.own)
        refuse_other_escape(layout.own)
        return [Placement(position(layout.own, each.path), 0, each.mapping or ()) for each in contributions]


def _slot(all_stages: Sequence[tuple[int, str | None]], at: int) -> KeyPath:
    above = [name for first, name in all_stages if first < at]
    name = above[-1] if above else None
    return (name,) if name and len(above) < len(all_stages) else ()


FILE = Dockerfile(NAME, text_lines)


def contributions(fragment: bytes) -> list[Contribution]:
    """Return what a snippet contributes to the Dockerfile: an empty list if the snippet is empty.

    Raises:
        UnsafeEditError: An instruction's end is missing.
    """
    lines = split_lines(fragment)
    refuse_unfinished(lines)
    body = tuple(line.rstrip(b"\r\n") for line in lines)
    return [Contribution((), mapping=body)] if any(line.strip() for line in body) else []
