"""A text of which nothing is shown but the spans that are named."""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import accumulate

from dagster_module_builder.disclosure.values import HIDDEN

_SPAN = re.compile(r"\x00[\x00\s]*\x00|\x00")


class Shown:
    """A text, and which of its characters may be seen: at first white space alone.

    Args:
        text: Lines that end with line feeds.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._may = bytearray(len(text))
        self._starts = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]

    def start_of(self, line: int) -> int:
        """Return where a line, counted from 0, begins."""
        return self._starts[line]

    def line_of(self, position: int) -> int:
        """Return the line, counted from 0, on which a character stands."""
        return bisect_right(self._starts, position) - 1

    def show(self, start: int, end: int) -> None:
        """Let a span be seen."""
        self._may[start:end] = b"\1" * (min(end, len(self.text)) - start)

    def hide(self, start: int, end: int) -> None:
        """Let a span not be seen."""
        self._may[start:end] = bytes(min(end, len(self.text)) - start)

    def lines(self) -> list[str]:
        """Return the lines, with ``…`` in the place of what may not be seen."""
        seen = "".join(
            character if may or character.isspace() else "\0"
            for character, may in zip(self.text, self._may, strict=True)
        )
        return [_SPAN.sub(HIDDEN, line).rstrip(" ") if "\0" in line else line for line in seen.split("\n")]

    def hidden(self) -> list[str]:
        """Return the texts that may not be seen, line by line, without the white space around them."""
        spans = (match.span() for match in re.finditer(rb"\0+", self._may))
        lines = (line for start, end in spans for line in self.text[start:end].split("\n"))
        return [text for line in lines if (text := line.strip(" \t'\""))]
