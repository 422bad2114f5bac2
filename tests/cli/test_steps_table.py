"""What a person, and the log of a job, see while hosts work."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.cli.moving_screen import seen, shown
from tests.cli.screen import CTRL_C
from tests.cli.terminal import Terminal

#: Two hosts, one of which has finished; the other's program writes a long line with controls and a password.
WORK = """\
import sys, time
from dagster_module_builder.commands.steps_table import StepsTable
from dagster_module_builder.programs.last_lines import Line
with StepsTable(*map(float, sys.argv[1:])) as table:
    table.update("deploy@one.example", "connect")
    table.update("deploy@two.example", "done")
    table.update("deploy@one.example", "environment")
    line = "Collecting \\x1b[2Jpandas from https://me:hidden@index.example/"
    table.update("deploy@one.example", Line(line + "x" * 200))
    time.sleep(float("SECONDS"))
"""


@pytest.mark.parametrize(("columns", "more"), [(60, {}), (120, {"LANG": "C"}), (60, {"PYTHONIOENCODING": "ascii"})])
def test_a_clock_runs_for_each_host_and_the_last_line_is_cut(
    columns: int, more: dict[str, str], terminal: Terminal
) -> None:
    with shown(terminal, WORK.replace("SECONDS", "60"), columns, **more) as screen:
        seen(screen, "3 s")
        lines = screen.text.splitlines()
        assert lines[0].split() == ["HOST", "STEP", "TIME"]
        assert re.fullmatch(r"deploy@one.example +environment +\d s +Collecting \\x1b\[.*", lines[1])
        assert lines[2].split() == ["deploy@two.example", "done"]
        assert len(lines) == 4
        assert "hidden" not in screen.written
        assert "\x1b[2J" not in screen.written
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", screen.written)
        screen.types(CTRL_C)
        screen.ends()
        assert screen.was_cooked
        assert screen.written.rindex("\x1b[?25h") > screen.written.rindex("\x1b[?25l")


def test_without_a_terminal_steps_are_lines_and_long_ones_show_life() -> None:
    command = [sys.executable, "-c", WORK.replace("SECONDS", "2.7"), "1.5"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *steps, still = done.stderr.splitlines()
    assert len(done.stderr.splitlines()) == 4
    assert steps == ["deploy@one.example: connect", "deploy@two.example: done", "deploy@one.example: environment"]
    start = r"deploy@one.example: environment \([12] s\): Collecting \\x1b\[2Jpandas from https://…@index.example/x+"
    assert re.fullmatch(start, still)


def test_a_terminal_that_cannot_move_gets_lines(terminal: Terminal) -> None:
    with shown(terminal, WORK.replace("SECONDS", "0"), TERM="dumb") as screen:
        screen.ends()
    assert "\x1b" not in screen.written
    assert "deploy@one.example: environment\r\n" in screen.written


def test_nothing_is_shown_with_quiet(terminal: Terminal) -> None:
    quiet = "from dagster_module_builder.commands import task_output\n"
    quiet += 'with task_output.of_task("deploy", as_json=False, quiet=True, root=None):\n'
    program = quiet + "".join(f"    {line}\n" for line in WORK.replace("SECONDS", "0").splitlines())
    with shown(terminal, program) as screen:
        screen.ends()
    assert screen.written == ""
