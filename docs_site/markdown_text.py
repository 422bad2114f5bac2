"""Pieces of Markdown: cells, tables, code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def code(text: str) -> str:
    """Return a text as code; an empty one stays empty.

    >>> code("a`b")
    '`` a`b ``'
    """
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    margin = " " if len(fence) > 1 else ""
    return f"{fence}{margin}{text}{margin}{fence}" if text else ""


def plain(text: str) -> str:
    """Return a text of the program with everything in it that Markdown or HTML would take for its own escaped."""
    return re.sub(r"([\\`*_\[\]<>])", r"\\\1", text).replace("&", "&amp;")


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a cell is one line."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
