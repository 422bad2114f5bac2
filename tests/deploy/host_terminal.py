"""A person at a terminal who uses a host through this program: types, looks, changes the window's size."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.program import PROGRAM

#: Seconds that something may take to be shown.
PATIENCE = 60.0


@dataclass
class HostTerminal:
    """A pseudo-terminal with the installed program in it."""

    process: subprocess.Popen[bytes]
    screen: int
    shown: str = ""

    def type(self, text: str) -> None:
        os.write(self.screen, text.encode())

    def sees(self, text: str) -> str:
        """Wait until a text is shown; return what stood before it, since the last one."""
        end = time.monotonic() + PATIENCE
        while text not in self.shown:
            assert time.monotonic() < end, f"{text!r} was not shown: {self.shown!r}"
            if select.select([self.screen], [], [], 1)[0]:
                try:
                    more = os.read(self.screen, 65536)
                except OSError as closed:
                    raise AssertionError(f"{text!r} was not shown: {self.shown!r}") from closed
                self.shown += more.decode("utf-8", "replace")
        before, _, self.shown = self.shown.partition(text)
        return before

    def resize(self, lines: int, columns: int) -> None:
        fcntl.ioctl(self.screen, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        os.kill(self.process.pid, signal.SIGWINCH)

    def ends(self) -> int:
        """Read what is left, and return the exit status."""
        end = time.monotonic() + PATIENCE
        with contextlib.suppress(OSError):
            while time.monotonic() < end:
                if select.select([self.screen], [], [], 1)[0]:
                    more = os.read(self.screen, 65536)
                    if not more:
                        break
                    self.shown += more.decode("utf-8", "replace")
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end: {self.shown!r}") from None


@contextlib.contextmanager
def host_terminal(root: Path, *arguments: str) -> Iterator[HostTerminal]:
    """Start the installed program in a terminal of 24 lines."""
    screen, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environ = {**os.environ, "DAGSTER_WORKSPACE": str(root), "TERM": "dumb"}
    started = [PROGRAM, *arguments]
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *started], stdin=its, stdout=its, stderr=its, cwd=root, env=environ
    )
    os.close(its)
    try:
        yield HostTerminal(process, screen)
    finally:
        process.kill()
        process.wait()
        os.close(screen)
