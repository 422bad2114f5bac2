"""``Dockerfile``: what the shared image needs for a module.

The format is the Dockerfile reference's (https://docs.docker.com/reference/dockerfile/).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dagster_module_builder.blocks import split_lines
from dagster_module_builder.formats.line_file import LineFile
from dagster_module_builder.formats.shared_file import Contribution

NAME = "Dockerfile"

_HEREDOC = re.compile(rb"<<(-?)(['\"]?)(\w+)\2")
_INSTRUCTION = re.compile(rb"\s*([A-Za-z]+)\s")
_COMMENT = re.compile(rb"\s*#")
#: From the first of these on, the last stage is about running the image and not about what it holds.
_RUNNING = {b"USER", b"CMD", b"ENTRYPOINT", b"HEALTHCHECK", b"STOPSIGNAL"}
#: A stage whose base left root behind goes back to it in order to install something.
_BACK_TO_ROOT = re.compile(rb"\s*USER\s+(?:root|0)(?::\w+)?\s*$", re.IGNORECASE)


def instructions(own: Sequence[bytes]) -> Iterator[tuple[int, int, bytes]]:
    """Yield each instruction's first line, the line after its last, and its keyword in capitals."""
    number = 0
    while number < len(own):
        first, line = number, own[number]
        match = _INSTRUCTION.match(line)
        number += 1
        if not match or _COMMENT.match(line):
            continue
        ends: list[tuple[bytes, bytes]] = [(found[1], found[3]) for found in _HEREDOC.finditer(line)]
        while line.rstrip().endswith(b"\\") and number < len(own):
            line = own[number] if not _COMMENT.match(own[number]) else b"\\"
            ends += [(found[1], found[3]) for found in _HEREDOC.finditer(line)]
            number += 1
        for dash, word in ends:
            while number < len(own) and (own[number].strip(b"\t\r\n") if dash else own[number].strip(b"\r\n")) != word:
                number += 1
            number += 1
        yield first, min(number, len(own)), match[1].upper()


def text_lines(own: Sequence[bytes]) -> set[int]:
    """Return the lines inside an instruction of several lines (a heredoc, or one continued with a backslash)."""
    return {line for first, end, _ in instructions(own) for line in range(first + 1, end)}


def position(own: Sequence[bytes]) -> int:
    """Return where the last stage turns from what the image holds to how it runs, comments above included."""
    found = list(instructions(own))
    last_stage = max((first for first, _, keyword in found if keyword == b"FROM"), default=-1)
    running = (
        first
        for first, _, keyword in found
        if first > last_stage and keyword in _RUNNING and not _BACK_TO_ROOT.match(own[first])
    )
    here = next(running, len(own))
    while here < len(own) and here - 1 > last_stage and _COMMENT.match(own[here - 1]):
        here -= 1
    return here


FILE = LineFile(NAME, text_lines, position)


def contributions(fragment: bytes) -> list[Contribution]:
    """Return what a snippet gives to the Dockerfile; nothing where it is empty."""
    body = tuple(line.rstrip(b"\r\n") for line in split_lines(fragment))
    return [Contribution((), mapping=body)] if any(line.strip() for line in body) else []
