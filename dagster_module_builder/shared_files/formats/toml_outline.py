"""Where the parts of a TOML file are: its tables, and the arrays and inline tables that its keys have as values.

A text is parsed by ``tomllib`` first, so the scanner here meets TOML only, and finds positions in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from dagster_module_builder.shared_files.formats import toml_text
from dagster_module_builder.shared_files.formats.outline import KeyPath

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"""(?:[\w-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|[ \t]*\.[ \t]*)+""")
_TEXT = re.compile(
    r'''"""(?:\\.|[^\\])*?""""{0,2}'''
    r"""|\'\'\'.*?\'\'\'\'{0,2}"""
    r"""|"(?:\\.|[^"\\\n])*"|'[^'\n]*\'""",
    re.DOTALL,
)
_BARE = re.compile(r"[^,\]}#\n]+")


@dataclass(frozen=True)
class Table:
    """A table with a header: its key path, the offset of the header, and where its last line of content ends."""

    path: KeyPath
    start: int
    end: int


@dataclass(frozen=True)
class Collection:
    """An array or an inline table: its key path, its offsets, and those of its items."""

    path: KeyPath
    start: int
    end: int
    items: tuple[tuple[int, int], ...]


@dataclass
class TomlOutline:
    """The parts of a text.

    Attributes:
        text: The text.
        tables: The tables with headers, in order.
        keys: The offset at which each key with a value begins, also those in inline tables.
        arrays: The arrays that keys have as values.
        long_texts: The offsets of texts of several lines.
    """

    text: str
    tables: list[Table] = field(default_factory=list)
    keys: dict[KeyPath, int] = field(default_factory=dict)
    arrays: dict[KeyPath, Collection] = field(default_factory=dict)
    long_texts: list[tuple[int, int]] = field(default_factory=list)

    def line(self, offset: int) -> int:
        """Return the line of an offset, counted from 0."""
        return self.text.count("\n", 0, offset)


def outline_of(text: str) -> TomlOutline:
    """Return the parts of a text.

    Raises:
        ValueError: It is not TOML.
    """
    toml_text.parsed(text)
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.outline = TomlOutline(text)
        self.text = text
        self.at = 0

    def scan(self) -> TomlOutline:
        table: KeyPath = ()
        start = end = 0
        found: list[Table] = []
        while self._skip_blank() < len(self.text):
            if self.text[self.at] == "[":
                found.append(Table(table, start, end))
                start, table = self.at, self._header()
            else:
                self._pair(table)
            end = self.at
        self.outline.tables = [*found, Table(table, start, end)][1:]
        return self.outline

    def _skip_blank(self) -> int:
        match = _BLANK.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.at

    def _header(self) -> KeyPath:
        brackets = 2 if self.text.startswith("[[", self.at) else 1
        self.at += brackets
        self._skip_blank()
        path = self._key()
        self.at = self.text.index("]", self.at) + brackets
        return path

    def _key(self) -> KeyPath:
        match = _KEY.match(self.text, self.at)
        if match is None:
            raise ValueError(f"no key at line {self.outline.line(self.at) + 1}")
        self.at = match.end()
        return tuple(_parts(toml_text.parsed(f"{match[0].strip()} = 0")))

    def _pair(self, table: KeyPath) -> None:
        start = self.at
        path = (*table, *self._key())
        self.outline.keys[path] = start
        self.at = self.text.index("=", self.at) + 1
        self._skip_blank()
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        start, first = self.at, self.text[self.at]
        if first == "[":
            self.outline.arrays[path] = Collection(path, start, 0, ())
            items = tuple(self._items(path, "]"))
            self.outline.arrays[path] = Collection(path, start, self.at, items)
        elif first == "{":
            for _ in self._items(path, "}"):
                pass
        else:
            match = (_TEXT if first in "\"'" else _BARE).match(self.text, start)
            self.at = start + len(match[0].rstrip()) if match else len(self.text)
            if "\n" in self.text[start : self.at]:
                self.outline.long_texts.append((start, self.at))

    def _items(self, path: KeyPath, closing: str) -> Iterator[tuple[int, int]]:
        """Yield the offsets of items; ``at`` is at the opening bracket, and ends behind the closing one."""
        self.at += 1
        number = 0
        while self.text[self._skip_blank()] != closing:
            start = self.at
            if closing == "}":
                self._pair(path)
            else:
                self._value((*path, str(number)))
            yield start, self.at
            number += 1
            if self.text[self._skip_blank()] == ",":
                self.at += 1
        self.at += 1


def _parts(data: object) -> Iterator[str]:
    while isinstance(data, dict):
        key, data = next(iter(data.items()))
        yield key
