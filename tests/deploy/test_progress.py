"""What a person at a narrow terminal sees while a release goes to a host, and what the log of a job has."""

from __future__ import annotations

import os

from tests.cli.screen import Screen
from tests.cli.terminal import PROGRAM, Terminal
from tests.deploy.program import run
from tests.deploy.sites import Site


def test_a_deployment_shows_each_host_in_a_table_and_leaves_the_terminal_whole(quick: Site) -> None:
    terminal = Terminal(quick.root, {**os.environ, "DAGSTER_WORKSPACE": str(quick.root)}, quick.root)
    screen = Screen(terminal, [str(PROGRAM), "deploy", "yoda", "--no-settle"], columns=60)
    try:
        assert screen.ends() == 0, screen.text
    finally:
        screen.end()
    lines = screen.text.splitlines()
    assert lines[0].split() == ["HOST", "STEP", "TIME"]
    assert lines[1].split()[-1] == "done"
    assert max(map(len, lines)) <= 60
    assert screen.was_cooked
    assert screen.written.rindex("\x1b[?25h") > screen.written.rindex("\x1b[?25l")
    assert " runs " in screen.text


def test_a_job_gets_a_line_for_each_step(quick: Site) -> None:
    done = run(quick.root, "deploy", "yoda", "--no-settle")
    assert done.returncode == 0
    steps = [line.rpartition(": ")[2] for line in done.stderr.splitlines()]
    assert list(dict.fromkeys(steps))[:2] == ["connect", "prepare"]
    assert "done" in steps
    assert "\x1b" not in done.stderr
