"""What ``workspace.dev`` runs ends with it, whichever way it is asked to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.living import is_alive

#: Starts a program with a child, and says their ids when both run.
RUNNER = """\
import sys, time
from dagster_module_builder.programs.process_groups import group
with group() as running:
    running.start([sys.executable, "-c", sys.argv[1], sys.argv[2]])
    while running.is_running:
        time.sleep(0.05)
print("asked" if running.asked_at else "by itself")
"""
PARENT = """\
import os, subprocess, sys, time
from pathlib import Path
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
Path(sys.argv[1] + ".new").write_text(f"{os.getpid()} {child.pid}")
os.rename(sys.argv[1] + ".new", sys.argv[1])
"""
WAITING = PARENT + "time.sleep(120)"
#: Does not care for Ctrl-C.
STUBBORN = PARENT.replace("time.sleep(120)", "import signal; signal.signal(2, signal.SIG_IGN); time.sleep(120)")


def ids(file: Path) -> list[int]:
    limit = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < limit
        time.sleep(0.05)
    return [int(number) for number in file.read_text().split()]


def run(program: str, file: Path, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUNNER, program, str(file)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True, **options)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_nothing_is_left_after_a_signal(number: signal.Signals, tmp_path: Path) -> None:
    with run(WAITING, tmp_path / "ids") as process:
        started = ids(tmp_path / "ids")
        os.kill(process.pid, number)
        assert process.communicate(timeout=60)[0] == "asked\n"
    assert not any(map(is_alive, started))


def test_a_script_in_whose_background_ctrl_c_is_ignored_can_end_it(tmp_path: Path) -> None:
    """A shell without job control starts what is in its background with SIGINT ignored (POSIX, 2.11)."""
    ignoring = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)}
    with run(WAITING, tmp_path / "ids", **ignoring) as process:
        started = ids(tmp_path / "ids")
        os.kill(process.pid, signal.SIGTERM)
        assert process.communicate(timeout=60)[0] == "asked\n"
    assert not any(map(is_alive, started))


def test_what_a_program_that_ends_by_itself_leaves_is_ended(tmp_path: Path) -> None:
    with run(STUBBORN, tmp_path / "ids") as process:
        assert process.communicate(timeout=60)[0] == "by itself\n"
    assert not any(map(is_alive, ids(tmp_path / "ids")))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_kills_what_ignores_the_first(number: signal.Signals, tmp_path: Path) -> None:
    program = "import signal; signal.signal(2, signal.SIG_IGN)\n" + WAITING
    with run(program, tmp_path / "ids") as process:
        started = ids(tmp_path / "ids")
        os.kill(process.pid, number)
        time.sleep(1.5)
        assert process.poll() is None
        os.kill(process.pid, number)
        assert process.communicate(timeout=60)[0] == "asked\n"
    assert not any(map(is_alive, started))
