"""SECURITY.md says of every task what it can cause."""

from __future__ import annotations

from dagster_module_builder.commands import namespace
from tests.security_page import PAGE, rows

TASKS = {context.name: context for context in namespace.to_contexts() if context.name}


def test_every_task_has_one_row_and_every_row_is_of_tasks() -> None:
    """FAULTS S6: a new task without a row fails."""
    named = [task for row in rows() for task in row.tasks]
    assert sorted(named) == sorted(set(named))
    assert set(named) == set(TASKS)


def test_every_row_says_what_is_run_written_and_reached() -> None:
    assert all(len(row.cells) == 3 and all(row.cells) for row in rows())


def test_every_flag_of_a_row_is_one_of_its_tasks() -> None:
    for row in rows():
        assert row.flags <= {flag for task in row.tasks for flag in TASKS[task].flags}, row.tasks


def test_a_task_that_runs_code_after_a_question_takes_the_answer() -> None:
    """FAULTS S6: and only these take it."""
    asking = {task for row in rows() if "question" in row.cells[0] for task in row.tasks}
    assert asking == {name for name, context in TASKS.items() if "--trust" in context.flags}


def test_what_dagsters_page_lets_others_do_is_said_with_the_cure() -> None:
    """FAULTS S17: it answers any host, and takes mutations by GET."""
    section = PAGE.partition("## Dagster's page")[2].partition("\n## ")[0]
    for word in ("`Host:`", "GET", "rebinding", "127.0.0.1", "`Origin`", "ssh -L"):
        assert word in section
