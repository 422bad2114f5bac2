"""What moves on a terminal while something works, on stderr; where nothing can move, plain lines instead."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from dagster_module_builder.commands import console, task_output
from dagster_module_builder.commands.asking.prompts import PLAIN_VARIABLE
from dagster_module_builder.disclosure import terminal
from dagster_module_builder.disclosure.messages import harmless_text

#: Terminals that cannot move their cursor (terminfo(5); as Rich sees it).
_UNMOVABLE = {"dumb", "unknown"}
_REFRESHES = 8


def can_move() -> bool:
    """Return whether stderr is a terminal whose lines can be drawn again, and a person who wants that."""
    if os.environ.get(PLAIN_VARIABLE) or task_output.current().quiet:
        return False
    return terminal.shows_progress() and os.environ.get("TERM", "").lower() not in _UNMOVABLE


def clock(seconds: float) -> str:
    """Return a duration for a clock.

    >>> clock(7.9), clock(75), clock(3725)
    ('7 s', '1:15', '1:02:05')
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s"


def one_line(text: str) -> Any:
    """Return text from anywhere for a line of a display: without secrets and controls, cut at the width.

    It is not a ``str``, in which Rich would read markup.
    """
    from rich.text import Text

    encoding = _encoding()
    safe = terminal.shown(harmless_text(text)).replace("\n", " ")
    # What stderr cannot write takes more columns than Rich counts.
    writable = safe.encode(encoding, "backslashreplace").decode(encoding)
    return Text(writable, no_wrap=True, overflow="ellipsis" if _takes("…") else "crop")


def _encoding() -> str:
    """Return the encoding of stderr, also while Rich has put its own stream in front of it."""
    return getattr(sys.stderr, "rich_proxied_file", sys.stderr).encoding or "utf-8"


def _takes(text: str) -> bool:
    encoding = _encoding()
    return text.encode(encoding, "replace").decode(encoding) == text


@contextmanager
def drawn(render: Callable[[], Any], *, transient: bool = False) -> Iterator[None]:
    """Draw something on stderr again and again while the block runs; other lines go above it.

    Args:
        render: Returns what is drawn, for Rich.
        transient: Whether it disappears at the end.
    """
    from rich.console import Console  # imported late: only a terminal needs it
    from rich.live import Live

    with Live(get_renderable=render, console=Console(stderr=True), refresh_per_second=_REFRESHES, transient=transient):
        yield


class Activity:
    """One step after another: with a spinner and a clock on a terminal, otherwise a line as each begins."""

    def __init__(self, *, moves: bool = True) -> None:
        self._moves = moves and can_move()
        self._step, self._since = "", time.monotonic()
        self._display: Any = None
        self._spinner: Any = None

    def step(self, text: str) -> None:
        """Begin a step."""
        self._step, self._since = text, time.monotonic()
        if not self._moves:
            console.inform(f"{text}…")
        elif self._display is None:
            self._display = drawn(self._line, transient=True)
            self._display.__enter__()

    def _line(self) -> Any:
        from rich.spinner import Spinner
        from rich.table import Table

        self._spinner = self._spinner or Spinner("dots" if _takes("⠋") else "line")
        line = Table.grid(padding=(0, 1))
        line.add_row(self._spinner, one_line(self._step), one_line(f"({clock(time.monotonic() - self._since)})"))
        return line

    def end(self) -> None:
        """Remove the line from the terminal."""
        display, self._display = self._display, None
        if display is not None:
            display.__exit__(None, None, None)

    def __enter__(self) -> Activity:  # noqa: PYI034 - typing.Self is younger than our oldest Python
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
