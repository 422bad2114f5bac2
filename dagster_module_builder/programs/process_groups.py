"""A program that runs until it is asked to stop, with everything that it starts: nothing of it is left."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dagster_module_builder.programs import outside_programs

#: What ends this program also ends the one that it runs.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
#: What the rest of a group gets after the program has ended, and for how many seconds it may take; 0 only asks.
_LAST = ((0, 5.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 2.0))
_PAUSE = 0.1
#: Seconds after which a second signal is no double press, nor the SIGHUP that comes with a SIGTERM, and kills.
_IMPATIENT = 1.0


class ProcessGroup:
    """A program in a separate session, which Ctrl-C at the terminal does not reach: it gets signals from here."""

    def __init__(self) -> None:
        self.process: outside_programs.Process | None = None
        #: When it was first asked to stop.
        self.asked_at: float | None = None

    def start(self, command: Sequence[str | Path], **options: Any) -> None:
        """Start the program; ``options`` are those of ``subprocess.Popen``.

        Raises:
            ToolError: It could not be started.
        """
        self.process = outside_programs.start(command, start_new_session=True, **options)
        if self.asked_at is not None:
            self._send(signal.SIGINT)

    @property
    def is_running(self) -> bool:
        """Whether the program itself has not ended yet."""
        return self.process is not None and self.process.poll() is None

    def stop(self, _number: int = signal.SIGINT, _frame: object = None) -> None:
        """Interrupt all of the group, as a terminal's Ctrl-C does; a second signal kills it."""
        now = time.monotonic()
        if self.asked_at is None:
            self.asked_at = now
            self._send(signal.SIGINT)
        elif now - self.asked_at > _IMPATIENT:
            self._send(signal.SIGKILL)

    def _send(self, number: int) -> bool:
        """Send a signal to the group; return whether it has a process."""
        with suppress(ProcessLookupError):
            if self.process is not None:
                os.killpg(self.process.pid, number)
                return True
        return False

    def end(self) -> None:
        """Wait for the program, then end what it started and left."""
        if self.process is None:
            return
        if self.is_running:
            self.stop()
        self.process.wait()
        for number, seconds in _LAST:
            limit = time.monotonic() + seconds
            if not self._send(number):
                return
            while time.monotonic() < limit:
                if not self._send(0):
                    return
                time.sleep(_PAUSE)


@contextmanager
def group() -> Iterator[ProcessGroup]:
    """Give a group; what asks this program to end stops it, and when the block ends, all of it ends.

    The signals are caught before the program starts: one that is ignored here, as in a script's background, would be
    ignored there, too.
    """
    running = ProcessGroup()
    before = {number: signal.signal(number, running.stop) for number in _ENDING}
    try:
        try:
            yield running
        finally:
            running.end()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
