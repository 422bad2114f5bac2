"""What moves on a terminal while something works, and what stands there without one."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.cli.moving_screen import seen, shown
from tests.cli.screen import CTRL_C
from tests.cli.terminal import Terminal

ACTIVITY = """\
import time
from dagster_module_builder.commands import console
from dagster_module_builder.commands.live_display import Activity
with Activity() as activity:
    activity.step("Preparing [red]it[/red] at http://me:hidden@index.example \\x1b[2J")
    console.inform("a message")
    time.sleep(60)
"""


def test_a_clock_runs_on_a_terminal_and_is_gone_after_ctrl_c(terminal: Terminal) -> None:
    with shown(terminal, ACTIVITY) as screen:
        text = seen(screen, "(2 s)").strip()
        assert text.splitlines()[0] == "a message"
        assert "Preparing [red]it[/red] at http://…@index.example \\x1b[2J (2 s)" in text
        screen.types(CTRL_C)
        screen.ends()
        assert "Preparing" not in screen.text.partition("Traceback")[0]
        assert screen.was_cooked
        assert screen.written.rindex("\x1b[?25h") > screen.written.rindex("\x1b[?25l")


@pytest.mark.parametrize("columns", [20, 60])
def test_a_line_that_does_not_fit_is_cut(columns: int, terminal: Terminal) -> None:
    with shown(terminal, ACTIVITY, columns) as screen:
        seen(screen, "(1 s)")
        message, line = filter(None, screen.text.splitlines())
        assert (message, line.split()[1]) == ("a message", "Preparing")
        assert re.search(r"… \(\d s\)$", line)
        screen.types(CTRL_C)
        screen.ends()


@pytest.mark.parametrize("variable", [{"TERM": "dumb"}, {"DAGSTER_MODULE_BUILDER_PLAIN": "1"}, None])
def test_where_nothing_may_move_a_step_is_a_line(variable: dict[str, str] | None, terminal: Terminal) -> None:
    program = ACTIVITY.replace("time.sleep(60)", "time.sleep(1)")
    if variable:
        with shown(terminal, program, **variable) as screen:
            screen.ends()
            written = screen.written.replace("\r\n", "\n")
    else:
        written = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stderr
    assert written == "Preparing [red]it[/red] at http://…@index.example \\x1b[2J…\na message\n"
