"""A screen on which something moves all the time."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cli.screen import Screen
from tests.cli.terminal import Terminal


@contextmanager
def shown(terminal: Terminal, program: str, columns: int = 100, **environment: str) -> Iterator[Screen]:
    """Run a Python program on a screen; end it when the block ends."""
    screen = Screen(terminal, [sys.executable, "-c", program], columns=columns, **environment)
    try:
        yield screen
    finally:
        screen.end()


def seen(screen: Screen, words: str, seconds: float = 60) -> str:
    """Read until these words are on the screen, which is never still; return all of it."""
    deadline = time.monotonic() + seconds
    while words not in screen.text:
        assert time.monotonic() < deadline, screen.text
        screen.reads()
    return screen.text
