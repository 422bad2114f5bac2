"""A person at a terminal that draws: a real pseudo-terminal, whose screen is what a terminal emulator makes of it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Iterator, Sequence

import pyte

from tests.cli.terminal import PROGRAM, Terminal

RETURN, ESCAPE, DOWN, UP, SPACE, CTRL_C, BACKSPACE = "\r", "\x1b", "\x1b[B", "\x1b[A", " ", "\x03", "\x7f"
#: What a program asks for the cursor's place with (ECMA-48, DSR 6), before it draws.
_WHERE = "\x1b[6n"


class Screen:
    """A command on a screen of this many columns."""

    def __init__(self, terminal: Terminal, line: Sequence[str], *, columns: int = 100, **environment: str) -> None:
        self._screen = pyte.Screen(columns, 50)
        self._stream = pyte.ByteStream(self._screen)
        #: All that was written, with the controls.
        self.written = ""
        #: Whether the terminal was as a shell wants it when the program ended.
        self.was_cooked = True
        # A shell does not export the size of its terminal; pytest-xdist does.
        inherited = {name: value for name, value in terminal.environment.items() if name not in {"COLUMNS", "LINES"}}
        environ = {**inherited, "TERM": "xterm-256color", "LANG": "C.UTF-8", **environment}
        self._process, self._end = pty.fork()
        if self._process == 0:
            os.chdir(terminal.cwd)
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
            # A shell or nohup may have started the tests with it ignored, which a new program would inherit.
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            os.execve(line[0], list(line), environ)
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))

    def end(self) -> None:
        """End the program if it still runs."""
        os.close(self._end)
        if self._process:
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)

    @property
    def text(self) -> str:
        """What stands on the screen."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    def waits_for(self, words: str, seconds: float = 60) -> Screen:
        """Read until these words are on the screen, and nothing has been drawn for a moment."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            drew = self._read(0.15)
            if words in self.text and not drew:
                return self
        raise AssertionError(f"{words!r} is not on the screen:\n{self.text}")

    def types(self, *keys: str) -> Screen:
        """Press keys, an Escape by itself."""
        for key in keys:
            os.write(self._end, key.encode())
            self._read(0.2 if key == ESCAPE else 0.05)
        return self

    def reads(self) -> None:
        """Draw what the program writes within a moment."""
        self._read(0.1)

    def is_cooked(self) -> bool:
        """Tell whether the terminal edits and echoes lines itself, as it does for a shell."""
        flags = termios.tcgetattr(self._end)[3]
        return bool(flags & termios.ICANON and flags & termios.ECHO)

    def gets(self, number: signal.Signals) -> None:
        """Send the program a signal."""
        os.kill(self._process, number)

    def ends(self, seconds: float = 120, again: signal.Signals | None = None) -> int:
        """Read until the program ends, and return what it ended with.

        Args:
            seconds: How long to wait.
            again: A signal that is sent again after a while: what a handler raises while garbage is collected is lost.
        """
        deadline, patience = time.monotonic() + seconds, time.monotonic() + 20
        while time.monotonic() < deadline:
            if again and time.monotonic() > patience:
                self.gets(again)
                patience += 20
            cooked = self.is_cooked()
            if self._read(0.05) is None:
                break
            self.was_cooked = cooked
        else:
            raise AssertionError(f"It does not end:\n{self.text}")
        _, status = os.waitpid(self._process, 0)
        self._process = 0
        return os.waitstatus_to_exitcode(status)

    def _read(self, seconds: float) -> bool | None:
        """Return whether something was drawn in this time; None once the program has closed its terminal."""
        if not select.select([self._end], [], [], seconds)[0]:
            return False
        try:
            more = os.read(self._end, 65536)
        except OSError:  # Linux's way to say that the terminal is closed
            return None
        self.written += more.decode("utf-8", "replace")
        for _ in range(more.decode("utf-8", "replace").count(_WHERE)):
            os.write(self._end, f"\x1b[{self._screen.cursor.y + 1};{self._screen.cursor.x + 1}R".encode())
        self._stream.feed(more)
        return bool(more) or None


@contextlib.contextmanager
def on_screen(terminal: Terminal, *line: str, columns: int = 100, **environment: str) -> Iterator[Screen]:
    """Run the program with these arguments on a screen; end it when the block ends."""
    screen = Screen(terminal, [str(PROGRAM), *line], columns=columns, **environment)
    try:
        yield screen
    finally:
        screen.end()
