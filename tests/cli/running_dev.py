"""Runs ``workspace.dev`` as a person at a terminal does, from its start to Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from dagster_module_builder.programs import graphql
from tests.cli.terminal import PROGRAM, Terminal


@contextmanager
def running_dev(terminal: Terminal, port: int, *flags: str) -> Iterator[str]:
    """Run ``workspace.dev``, wait until it answers, and end it as Ctrl-C does.

    Args:
        terminal: Where it is typed.
        port: Where it answers.
        flags: What is typed behind it.
    """
    line = [str(PROGRAM), "workspace.dev", *flags]
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        line,
        cwd=terminal.cwd,
        env=terminal.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            end = time.monotonic() + 240
            while not graphql.is_up(url):
                assert process.poll() is None, process.stdout.read().decode() if process.stdout else ""
                assert time.monotonic() < end
                time.sleep(0.3)
            yield url
        finally:
            # As a terminal does: to the whole group.
            os.killpg(process.pid, signal.SIGINT)
            process.communicate(timeout=120)
