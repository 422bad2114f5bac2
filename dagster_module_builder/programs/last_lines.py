"""What a program says while it works: the last line of its output so far, for whoever waits for it."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

#: Seconds between two looks at the output.
LOOK = 0.5
_LONGEST = 300
#: Programs draw their progress again and again on one line.
_BREAKS = re.compile(rb"[\r\n]+")


class Line(str):
    """A line that a program wrote, where otherwise the name of a step is told."""

    __slots__ = ()


_listener: ContextVar[Callable[[Line], None] | None] = ContextVar("listener", default=None)


@contextmanager
def heard_by(listener: Callable[[Line], None]) -> Iterator[None]:
    """Tell a function what the programs say that this thread runs in the block."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def last_line(output: bytes | None) -> str:
    r"""Return the last line of an output that is not empty: ``b"one\n 10%\r 20%" -> "20%"``."""
    lines = [line for line in _BREAKS.split((output or b"")[-4096:]) if line.strip()]
    return lines[-1].decode("utf-8", "replace").strip()[:_LONGEST] if lines else ""


def run(command: Sequence[str], source: Mapping[str, Any], limit: float | None, **options: Any) -> Any:
    """Run a program as ``subprocess.run`` does; whoever listens hears its last line, as often as it changes.

    Args:
        command: The program and its arguments.
        source: Its standard input: ``input`` or ``stdin`` of ``subprocess.run``.
        limit: Seconds after which it is killed.
        options: Others of ``subprocess.Popen``.

    Raises:
        TimeoutExpired: It did not end within the limit.
        OSError: It could not be started.
    """
    listener = _listener.get()
    if listener is None:
        return subprocess.run(command, **source, timeout=limit, check=False, **options)  # noqa: TID251 - for the door
    given = source.get("input")
    stdin = source.get("stdin", subprocess.PIPE)
    with subprocess.Popen(command, stdin=stdin, **options) as process:  # noqa: TID251 - for the door
        try:
            out, errors = _communicate(process, given, limit, listener)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, errors)


def _communicate(
    process: Any, given: bytes | None, limit: float | None, listener: Callable[[Line], None]
) -> tuple[bytes, bytes]:
    end, said = None if limit is None else time.monotonic() + limit, ""
    while True:
        try:
            wait = LOOK if end is None else max(0.0, min(LOOK, end - time.monotonic()))
            out, errors = process.communicate(given, wait)
        except subprocess.TimeoutExpired as unfinished:
            if end is not None and time.monotonic() >= end:
                raise
            # What has arrived so far; input that was given is not given again.
            given, line = None, last_line(unfinished.stderr) or last_line(unfinished.output)
            if line and line != said:
                said = line
                listener(Line(line))
        else:
            return out, errors
