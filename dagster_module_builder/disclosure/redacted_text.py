"""A text in which everything is hidden except chosen spans."""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import accumulate

from dagster_module_builder.disclosure.values import HIDDEN

_SPAN = re.compile(r"\x00[\x00\s]*\x00|\x00")


class RedactedText:
    """A text and which of its characters are visible: at first only white space.

    Args:
        text: Lines that end with line feeds.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._visible = bytearray(len(text))
        self._starts = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]

    def start_of(self, line: int) -> int:
        """Return the position at which a line, counted from 0, begins."""
        return self._starts[line]

    def line_of(self, position: int) -> int:
        """Return the line, counted from 0, that contains a position."""
        return bisect_right(self._starts, position) - 1

    def show(self, start: int, end: int) -> None:
        """Make a span visible."""
        self._visible[start:end] = b"\1" * (min(end, len(self.text)) - start)

    def hide(self, start: int, end: int) -> None:
        """Hide a span."""
        self._visible[start:end] = bytes(min(end, len(self.text)) - start)

    def lines(self) -> list[str]:
        """Return the lines, with ``…`` in place of each hidden span."""
        redacted = "".join(
            character if visible or character.isspace() else "\0"
            for character, visible in zip(self.text, self._visible, strict=True)
        )
        return [_SPAN.sub(HIDDEN, line).rstrip(" ") if "\0" in line else line for line in redacted.split("\n")]

    def hidden(self) -> list[str]:
        """Return the hidden texts line by line, without surrounding white space and quotes."""
        spans = (match.span() for match in re.finditer(rb"\0+", self._visible))
        lines = (line for start, end in spans for line in self.text[start:end].split("\n"))
        return [text for line in lines if (text := line.strip(" \t'\""))]
