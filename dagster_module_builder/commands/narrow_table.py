"""A table that fits into a terminal: its least important columns are left out, and long lists are folded."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

#: Between two columns, as ``console.say_table`` prints them.
_GAP = 2


def terminal_width() -> int | None:
    """Return the columns of the terminal that stdout is; None if it goes elsewhere, which gets everything."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def fitted(
    headings: Sequence[str], rows: Sequence[Sequence[str]], width: int | None, dispensable: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """Return a table without the columns that a terminal has no room for.

    Args:
        headings: The headings; the cells of the last column are lists with commas, which may be folded.
        rows: The rows.
        width: The terminal's columns; None for any number.
        dispensable: The headings of what is left out, the least important first.
    """
    table = [list(headings), *map(list, rows)]
    for heading in dispensable:
        if width is None or _width(table) <= width:
            break
        place = table[0].index(heading)
        table = [[*row[:place], *row[place + 1 :]] for row in table]
    if width is not None and _width(table) > width:
        room = width - _width([row[:-1] for row in table]) - _GAP
        table = [table[0], *([*row[:-1], folded(row[-1], room)] for row in table[1:])]
    return table[0], table[1:]


def _width(table: Sequence[Sequence[str]]) -> int:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return sum(widths) + _GAP * (len(widths) - 1)


def folded(names: str, room: int) -> str:
    """Return the names that there is room for, and how many more there are: ``"yoda, leia, luke" -> "yoda +2"``.

    The first name is always whole: it is what can be typed.
    """
    if len(names) <= room:
        return names
    every = names.split(", ")
    shorter = [f"{', '.join(every[:count])} +{len(every) - count}" for count in range(len(every) - 1, 0, -1)]
    return next((text for text in shorter if len(text) <= room), shorter[-1] if shorter else names)
