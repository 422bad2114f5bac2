"""The table of SECURITY.md, which says of every task what a module can cause by it."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "SECURITY.md").read_text("utf-8")


@dataclass(frozen=True)
class Row:
    """What the page says of tasks.

    Attributes:
        tasks: Their names.
        cells: What runs, what is written, what is reached.
    """

    tasks: tuple[str, ...]
    cells: tuple[str, ...]

    @property
    def flags(self) -> set[str]:
        """The flags that it names."""
        return {flag for cell in self.cells for flag in re.findall(r"`(--[a-z-]+)`", cell)}


def rows() -> list[Row]:
    table = PAGE.partition("| Task |")[2].partition("\n\n")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return [Row(tuple(re.findall(r"`([^`]+)`", first)), tuple(cells)) for first, *cells in lines]


def row_of(task: str) -> Row:
    return next(row for row in rows() if task in row.tasks)


def says_nothing(cell: str, flags: Collection[str] = ()) -> bool:
    """Tell whether a cell says "nothing" of a task that is given these flags.

    >>> says_nothing("nothing; with `--load` its code"), says_nothing("nothing; with `--load` its code", ["--load"])
    (True, False)
    >>> says_nothing("the module; nothing with `--check` and `--dry-run`", ["--dry-run"])
    True
    """
    first, *rest = re.split(r"[;,] ", cell)
    without = re.findall(r"nothing with ((?:`--[a-z-]+`(?: and )?)+)", cell)
    if any(flag in flags for flag in re.findall(r"--[a-z-]+", " ".join(without))):
        return True
    return first.startswith("nothing") and not any(f"`{flag}`" in part for part in rest for flag in flags)
