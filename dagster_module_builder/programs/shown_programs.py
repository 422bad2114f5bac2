"""Programs whose output is shown while they run: it cannot control the terminal that shows it."""

from __future__ import annotations

import codecs
import os
import select
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from dagster_module_builder.disclosure import terminal
from dagster_module_builder.programs import outside_programs

#: Seconds after which an unfinished line is shown, and seconds between two checks whether the program has ended, since
#: its children may keep its terminal open.
_LINE_PAUSE, _END_PAUSE = 0.1, 0.5
_CHUNK = 1 << 16
#: Longer unfinished lines, in characters, are shown at once.
_LONGEST = 1 << 16


class ShownProgram:
    """A running program, and its output that is still to be shown."""

    def __init__(self, process: outside_programs.Process, relays: Sequence[_Relay]) -> None:
        self.process = process
        self._relays = list(relays)

    def wait(self) -> int:
        """Show what the program writes until it ends; return its exit status."""
        while self._relays and self.process.poll() is None:
            self._pass_on(_LINE_PAUSE if any(relay.line for relay in self._relays) else _END_PAUSE)
        status = self.process.wait()
        while self._pass_on(0):
            pass
        return status

    def _pass_on(self, limit: float) -> bool:
        """Show what arrives within some seconds; return whether anything did."""
        ready, _, _ = select.select(self._relays, [], [], limit)
        for relay in self._relays:
            if relay not in ready:
                relay.show_line()
            elif not relay.read():
                self._relays = [kept for kept in self._relays if kept is not relay]
        return bool(ready)


class _Relay:
    """A terminal for a program, and the stream on which its output is shown."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.line = ""
        self._coloured = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._ours, self.theirs = _pair()

    def fileno(self) -> int:
        return self._ours

    def read(self) -> bool:
        """Read what the program wrote, and show all complete lines; return whether more can follow."""
        try:
            text = self._decoder.decode(os.read(self._ours, _CHUNK))
        except OSError:  # On Linux (EIO), no program has the terminal open any more.
            self.show_line()
            return False
        lines, feed, rest = (self.line + text).rpartition("\n")
        self._show(lines + feed)
        self.line = rest
        if len(rest) > _LONGEST:
            self.show_line()
        return True

    def show_line(self) -> None:
        """Show an unfinished line."""
        text, self.line = self.line, ""
        self._show(text)

    def _show(self, text: str) -> None:
        self._coloured |= "\x1b[" in text
        if text:
            terminal.write(self.stream, text, end="", form=terminal.coloured)

    def close(self) -> None:
        if self._coloured:
            terminal.write(self.stream, "\x1b[0m", end="", form=terminal.coloured)
        os.close(self._ours)


def _pair() -> tuple[int, int]:
    """Return the two ends of a new terminal: ours and the program's (pty(7))."""
    import pty
    import termios

    ours, theirs = pty.openpty()
    mode = termios.tcgetattr(theirs)
    # Keep line feeds as they are, as in a file; the terminal that shows them adds carriage returns.
    mode[1] &= ~termios.OPOST
    termios.tcsetattr(theirs, termios.TCSANOW, mode)
    return ours, theirs


@contextmanager
def started(command: Sequence[str | Path], streams: Sequence[str], **options: Any) -> Iterator[ShownProgram]:
    """Start a program, some of whose streams are shown.

    If a stream is a terminal, the program gets a separate terminal, whose output is shown with control characters
    escaped, except colours. The program stays in the user's session, so that Ctrl-C reaches it as usual.

    Args:
        command: The program and its arguments.
        streams: ``stdout``, ``stderr``, or both.
        options: Those of ``subprocess.Popen``.

    Raises:
        ToolError: It could not be started.
    """
    relays = {name: _Relay(getattr(sys, name)) for name in streams if _is_terminal(getattr(sys, name))}
    try:
        ends: dict[str, Any] = {name: relay.theirs for name, relay in relays.items()}
        try:
            process = outside_programs.start(command, **options, **ends)
        finally:
            for end in ends.values():
                os.close(end)
        with process, _ended(process):
            yield ShownProgram(process, tuple(relays.values()))
    finally:
        for relay in relays.values():
            relay.close()


@contextmanager
def _ended(process: outside_programs.Process) -> Iterator[None]:
    """Kill the program if an error ends the wait for it."""
    try:
        yield
    except BaseException:
        with suppress(ProcessLookupError):
            process.kill()
        raise


def _is_terminal(stream: TextIO | None) -> bool:
    return os.name == "posix" and stream is not None and stream.isatty()
