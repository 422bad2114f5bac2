"""``.env``: variables that Compose and Dagster read alike."""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import StringIO

from dotenv import dotenv_values

from dagster_module_builder.blocks import split_lines
from dagster_module_builder.formats.line_file import LineFile
from dagster_module_builder.formats.outline import OutlineError
from dagster_module_builder.formats.shared_file import Contribution

NAME = ".env"

_ASSIGNMENT = re.compile(rb"\s*(?:export\s+)?([A-Za-z_][\w.]*)\s*=\s*(.*)", re.DOTALL)
_KEY = re.compile(rb"^[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.]*)[ \t]*=", re.MULTILINE)
_READ_ALIKE = re.compile(rb"""'[^'\\\r\n]*'|[\w./:@%+,-]*""")
#: Lines that every reader understands alike, as nearly all are.
_PLAIN = re.compile(r"(?:(?P<key>[A-Za-z_]\w*)=(?:'(?P<quoted>[^'\\\r]*)'|(?P<bare>[\w./:@%+,-]*))|#[^\r]*)?", re.ASCII)


def text_lines(own: Sequence[bytes]) -> set[int]:
    """Return the lines inside a quoted value of several lines."""
    inside: set[int] = set()
    quote = b""
    for number, line in enumerate(own):
        rest = line
        if quote:
            inside.add(number)
        elif match := _ASSIGNMENT.fullmatch(line):
            rest = match[2]
            quote, rest = (rest[:1], rest[1:]) if rest[:1] in (b"'", b'"') else (b"", rest)
        if quote and _closes(rest, quote):
            quote = b""
    # A quote that is never closed quotes nothing.
    return inside if not quote else {number for number in inside if number < _last_opening(own, inside)}


def _closes(rest: bytes, quote: bytes) -> bool:
    return quote in re.sub(rb"\\.", b"", rest)


def _last_opening(own: Sequence[bytes], inside: set[int]) -> int:
    line = len(own) - 1
    while line in inside:
        line -= 1
    return line


FILE = LineFile(NAME, text_lines)


def contributions(fragment: bytes) -> list[Contribution]:
    """Return what a fragment gives to the ``.env``; nothing where it is empty.

    Raises:
        OutlineError: A line is none, or a value would be read differently by Compose and by Dagster.
    """
    body = tuple(line.rstrip(b"\r\n") for line in split_lines(fragment))
    for number, line in enumerate(body):
        match = _ASSIGNMENT.fullmatch(line)
        if not match and line.strip() and not line.lstrip().startswith(b"#"):
            raise OutlineError(number, "neither a comment nor a variable with its value (NAME='value')")
        if match and not _READ_ALIKE.fullmatch(match[2].rstrip()):
            name = match[1].decode()
            raise OutlineError(number, f"Compose and Dagster read the value of {name} differently: single-quote it")
    return [Contribution((), mapping=body)] if any(line.strip() for line in body) else []


def keys(text: bytes) -> list[str]:
    """Return the variables that a file sets, in order, as often as it sets them."""
    return [key.decode() for key in _KEY.findall(text)]


def values(text: bytes) -> dict[str, str]:
    """Return the variables of a file with their values, as Dagster reads them."""
    return {key: value or "" for key, value in named_values(text).items()}


def named_values(text: bytes, errors: str = "replace") -> dict[str, str | None]:
    """Return the same, with None for a variable that is named only and takes its value from the surroundings.

    Args:
        text: The file's content.
        errors: What becomes of bytes that are not UTF-8, as ``bytes.decode`` names it.
    """
    decoded = text.decode("utf-8", errors)
    found: dict[str, str | None] = {}
    for line in decoded.split("\n"):
        plain = _PLAIN.fullmatch(line)
        if plain is None:
            # One line that needs python-dotenv, which takes a hundred times as long, may reach over others.
            return dict(dotenv_values(stream=StringIO(decoded), interpolate=False))
        if plain["key"]:
            found[plain["key"]] = plain["quoted"] if plain["quoted"] is not None else plain["bare"]
    return found
