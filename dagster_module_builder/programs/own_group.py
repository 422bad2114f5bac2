"""Programs whose children end with them: a hook, or a command that gives a secret."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dagster_module_builder.programs.last_lines import LOOK, Line, last_line
from dagster_module_builder.programs.outside_programs import Answer, Process, start


class LateError(Exception):
    """A program did not end within its limit; ``said`` is what it had written by then."""

    def __init__(self, said: bytes) -> None:
        super().__init__()
        self.said = said


def run(
    command: Sequence[str | Path],
    folder: Path,
    environ: Mapping[str, str],
    limit: float,
    report: Callable[[Line], None] = lambda _: None,
    stdin: bytes | None = None,
    gone: Callable[[], bool] = lambda: False,
) -> Answer:
    """Run a program in a process group that is killed as a whole: at the limit, and with this call.

    Args:
        command: The program and its arguments.
        folder: The working directory.
        environ: All of its variables.
        limit: Seconds until it is killed.
        report: Told the last line that it wrote, as often as that changes.
        stdin: Its standard input; by default empty.
        gone: Asked twice a second whether it is not needed any more; it is killed then.

    Raises:
        ToolError: It could not be started.
        LateError: It did not end within the limit.
    """
    pipe = subprocess.PIPE
    source = subprocess.DEVNULL if stdin is None else pipe
    options = {"cwd": folder, "env": environ, "stdin": source, "stdout": pipe, "stderr": pipe}
    with start(command, **options, start_new_session=True) as process:
        try:
            return _communicated(process, stdin, time.monotonic() + limit, report, gone)
        except BaseException:
            _kill(process)
            raise


def _communicated(
    process: Process,
    stdin: bytes | None,
    end: float,
    report: Callable[[Line], None],
    gone: Callable[[], bool],
) -> Answer:
    told = ""
    while True:
        try:
            out, errors = process.communicate(stdin, max(0.0, min(LOOK, end - time.monotonic())))
        except subprocess.TimeoutExpired as unfinished:
            if gone() or time.monotonic() >= end:
                _kill(process)
                out, errors = process.communicate()
                raise LateError(out + errors) from None
            stdin = None
            line = last_line(unfinished.stderr) or last_line(unfinished.output)
            if line and line != told:
                told = line
                report(Line(line))
        else:
            return Answer(process.returncode, out, errors)


def _kill(process: Process) -> None:
    """Kill a program and its children; the group outlives its leader as long as a child runs."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
