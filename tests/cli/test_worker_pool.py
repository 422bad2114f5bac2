"""The processes of ``audit --all`` and ``upgrade --all`` end with the program, also if it is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from tests.living import is_alive

RUNNER = """\
import os, sys, time
from dagster_module_builder.programs.worker_pool import worker_pool
with worker_pool(2, prepare=lambda: os.write(1, b"%d\\n" % os.getpid())) as pool:
    [pool.submit(time.sleep, 60) for _ in range(2)]
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_of_a_program_that_is_killed(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", RUNNER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        workers = [int(process.stdout.readline()) for _ in range(2)]
        assert all(map(is_alive, workers))
        process.send_signal(number)
        process.wait(30)
    limit = time.monotonic() + 30
    while any(map(is_alive, workers)):
        assert time.monotonic() < limit
        time.sleep(0.05)
