"""SECURITY.md says of every task what it can cause."""

from __future__ import annotations

import re
from pathlib import Path

from dagster_module_builder.commands import namespace

PAGE = (Path(__file__).parents[1] / "SECURITY.md").read_text("utf-8")
TASKS = {context.name: context for context in namespace.to_contexts() if context.name}


def rows() -> list[list[str]]:
    table = PAGE.partition("| Task |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_every_task_has_one_row_and_every_row_is_of_tasks() -> None:
    """FAULTS S6: a new task without a row fails."""
    named = [task for cells in rows() for task in re.findall(r"`([^`]+)`", cells[0])]
    assert sorted(named) == sorted(set(named))
    assert set(named) == set(TASKS)


def test_every_row_says_what_is_run_written_and_reached() -> None:
    assert all(len(cells) == 4 and all(cells) for cells in rows())


def test_every_flag_of_a_row_is_one_of_its_tasks() -> None:
    for first, *cells in rows():
        flags = {flag for cell in cells for flag in re.findall(r"`(--[a-z-]+)`", cell)}
        known = {flag for task in re.findall(r"`([^`]+)`", first) for flag in TASKS[task].flags}
        assert flags <= known, first


def test_a_task_that_runs_code_after_a_question_takes_the_answer() -> None:
    """FAULTS S6: and only these take it."""
    asking = {task for cells in rows() if "question" in cells[1] for task in re.findall(r"`([^`]+)`", cells[0])}
    assert asking == {name for name, context in TASKS.items() if "--trust" in context.flags}


def test_what_dagsters_page_lets_others_do_is_said_with_the_cure() -> None:
    """FAULTS S17: it answers any host, and takes mutations by GET."""
    section = PAGE.partition("## Dagster's page")[2].partition("\n## ")[0]
    for word in ("`Host:`", "GET", "rebinding", "127.0.0.1", "`Origin`", "ssh -L"):
        assert word in section
