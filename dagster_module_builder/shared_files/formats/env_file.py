"""``.env``: variables that Compose and Dagster read alike."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO

from dotenv import dotenv_values

from dagster_module_builder.disclosure.messages import remember
from dagster_module_builder.shared_files.blocks import split_lines
from dagster_module_builder.shared_files.formats import env_value
from dagster_module_builder.shared_files.formats.line_file import LineFile
from dagster_module_builder.shared_files.formats.outline import UnsafeEditError
from dagster_module_builder.shared_files.formats.shared_file import Contribution

NAME = ".env"

_ASSIGNMENT = re.compile(rb"\s*(?:export\s+)?([A-Za-z_][\w.]*)\s*=\s*(.*)", re.DOTALL)
#: A variable with its value; a quoted value may have several lines, in which no variable begins.
_ENTRY = re.compile(
    rb"""^[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.]*)[ \t]*=[ \t]*((?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")?[^\n]*)""",
    re.MULTILINE | re.DOTALL,
)
#: Lines that every reader understands alike; nearly all lines are such.
_PLAIN = re.compile(
    rf"(?:(?P<key>[A-Za-z_][A-Za-z0-9_]*)=(?:{env_value.ALIKE.pattern})|#[^\r\n]*)?(?:\n|\Z)",
)


@dataclass(frozen=True)
class Variable:
    """A variable of a file.

    Attributes:
        line: The line of its name, counted from 0.
        last: The last line of its value.
        name: Its name.
        raw: The text after the equals sign, with quotes.
    """

    line: int
    last: int
    name: str
    raw: bytes


def entries(text: bytes) -> Iterator[Variable]:
    """Yield the variables that a file sets, in order and with repetitions."""
    line = end = 0
    for match in _ENTRY.finditer(text):
        line += text.count(b"\n", end, match.start(1))
        end = match.start(1)
        last = line + text.count(b"\n", end, match.end())
        yield Variable(line, last, match[1].decode(), match[2].rstrip())


def text_lines(own: Sequence[bytes]) -> set[int]:
    """Return the lines inside quoted multi-line values."""
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
    """Return what a fragment contributes to the ``.env``: an empty list if the fragment is empty.

    Raises:
        UnsafeEditError: A line is neither comment nor variable, Compose and Dagster would read a value differently, or
            a variable is reserved.
    """
    body = tuple(line.rstrip(b"\r\n") for line in split_lines(fragment))
    refuse_unreadable(b"\n".join(body))
    return [Contribution((), mapping=body)] if any(line.strip() for line in body) else []


def refuse_unreadable(text: bytes) -> None:
    """Refuse values that Compose and Dagster would read differently, and reserved variables.

    Raises:
        UnsafeEditError: With the line and the cure, and never a value.
    """
    _refuse_wrong_bytes(text)
    taken: set[int] = set()
    for entry in entries(text):
        taken.update(range(entry.line, entry.last + 1))
        if reason := env_value.problem(entry.raw.decode()):
            raise UnsafeEditError(entry.line, f"the value of {entry.name}: {reason}")
        if env_value.is_reserved(entry.name):
            raise UnsafeEditError(
                entry.line,
                f"modules may not set {entry.name}, since it changes how every process in the workspace runs: delete "
                f"the line, or choose another name that begins with the module's",
            )
    for number, line in enumerate(text.split(b"\n")):
        if number not in taken and line.strip() and not line.lstrip().startswith(b"#"):
            raise UnsafeEditError(number, "neither a comment nor a variable with its value (NAME='value')")


def read_differently(text: bytes) -> Iterator[tuple[Variable, str]]:
    """Yield the variables whose values Dagster and Compose read differently, each with the reason and the cure.

    Args:
        text: The content of a workspace's ``.env``, in which more forms are allowed than in a module's.
    """
    above: set[str] = set()
    for entry in entries(text):
        raw = entry.raw.decode("utf-8", "replace")
        reason = None if env_value.is_alike(raw, above) else env_value.problem(raw)
        if reason:
            yield entry, reason
        above.add(entry.name)


def _refuse_wrong_bytes(text: bytes) -> None:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        number = text.count(b"\n", 0, error.start)
        reason = "bytes that are not UTF-8: save the file as UTF-8, and write binary values as Base64"
        raise UnsafeEditError(number, reason) from None


def keys(text: bytes) -> list[str]:
    """Return the names of the variables that a file sets, in order and with repetitions."""
    return [entry.name for entry in entries(text)]


def values(text: bytes) -> dict[str, str]:
    """Return the variables of a file with their values, as Dagster reads them."""
    return {key: value or "" for key, value in named_values(text).items()}


def named_values(text: bytes, errors: str = "replace") -> dict[str, str | None]:
    """Return the same, with None for a variable without ``=``, whose value is the environment's.

    From now on, messages of this process do not show the values.

    Args:
        text: The file's content.
        errors: How to decode bytes that are not UTF-8, as for ``bytes.decode``.
    """
    variables = _read(text.decode("utf-8", errors))
    remember(variables)
    return variables


def _read(decoded: str) -> dict[str, str | None]:
    # As when a file is opened in text mode: line endings become line feeds, and the byte order mark is dropped.
    decoded = decoded.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    variables: dict[str, str | None] = {}
    position = 0
    while position < len(decoded):
        plain = _PLAIN.match(decoded, position)
        if plain is None:
            # This line needs python-dotenv, which is a hundred times slower; it may span the lines below.
            return dict(dotenv_values(stream=StringIO(decoded)))
        if plain["key"]:
            variables[plain["key"]] = env_value.read(plain)
        position = plain.end()
    return variables
