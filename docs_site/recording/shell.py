"""A person who types in a real shell on a terminal, while what it shows is kept."""

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
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyte

from docs_site.recording.film import Picture, picture_of

PROMPT = "$ "
RETURN, CTRL_C, CLEAR = "\r", "\x03", "\x0c"
#: What a program asks for the cursor's place with (ECMA-48, DSR 6), before it draws.
_WHERE = b"\x1b[6n"
#: Seconds between two keys.
_PACE = 0.045


class Shell:
    """Bash on a screen of this many columns and lines.

    Attributes:
        pictures: What was on the screen, each with its moment in seconds.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str], columns: int, lines: int) -> None:
        self.pictures: list[tuple[float, Picture]] = []
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._process, self._end = pty.fork()
        if self._process == 0:
            os.chdir(folder)
            shell = ["bash", "--norc", "--noprofile", "-i"]
            os.execvpe(  # noqa: S606 - the child of a fork
                shell[0], shell, {**environ, "PS1": PROMPT, "TERM": "xterm-256color"}
            )
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def end(self) -> None:
        """End the shell with what it has started."""
        os.close(self._end)
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)

    @property
    def text(self) -> str:
        """What is on the screen."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    def types(self, text: str) -> None:
        """Type some text, and then Return."""
        for key in text:
            self.presses(key)
        self.watches(0.3)
        self.presses(RETURN)

    def presses(self, key: str) -> None:
        """Press one key."""
        os.write(self._end, key.encode())
        self.watches(_PACE)

    def watches(self, seconds: float) -> None:
        """Keep what is shown during this time."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            ready, _, _ = select.select([self._end], [], [], left)
            if ready:
                written = os.read(self._end, 65536)
                self._stream.feed(written)
                self._answer_where(written.count(_WHERE))
                self.pictures.append((time.monotonic(), picture_of(self._screen)))

    def _answer_where(self, times: int) -> None:
        cursor = self._screen.cursor
        for _ in range(times):
            os.write(self._end, f"\x1b[{cursor.y + 1};{cursor.x + 1}R".encode())

    def waits_for(self, words: str, seconds: float = 300.0) -> None:
        """Watch until these words are on the screen.

        Raises:
            TimeoutError: They did not come.
        """
        until = time.monotonic() + seconds
        while words not in self.text:
            if time.monotonic() > until:
                raise TimeoutError(f"{words!r} is not on the screen:\n{self.text}")
            self.watches(0.1)

    def waits_for_prompt(self, seconds: float = 300.0) -> None:
        """Watch until the shell can be typed into.

        Raises:
            TimeoutError: The command did not end.
        """
        until = time.monotonic() + seconds
        self.watches(0.4)
        while not self.text.endswith(PROMPT.rstrip()) or self._screen.cursor.x != len(PROMPT):
            if time.monotonic() > until:
                raise TimeoutError(f"The command did not end:\n{self.text}")
            self.watches(0.1)
        self.watches(0.8)


@contextlib.contextmanager
def shell_in(folder: Path, environ: Mapping[str, str], columns: int, lines: int) -> Iterator[Shell]:
    """Give a shell that is ended afterwards."""
    shell = Shell(folder, environ, columns, lines)
    try:
        shell.waits_for(PROMPT.rstrip(), 10)
        yield shell
    finally:
        with contextlib.suppress(ProcessLookupError):
            shell.end()
