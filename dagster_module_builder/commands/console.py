"""Printing: results on stdout, everything else on stderr; and asking for confirmation."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.commands import task_output
from dagster_module_builder.commands.task_output import Step
from dagster_module_builder.disclosure import terminal

if TYPE_CHECKING:
    from dagster_module_builder.native.local_dagster import MaterializeResult
    from dagster_module_builder.transactions.plan import FileChange, Plan


#: ``say`` prints results on stdout, ``inform`` messages on stderr, ``alert`` what ``--quiet`` does not hide either.
say, inform, alert = terminal.say, terminal.inform, terminal.alert
_PACKAGE = __name__.partition(".")[0]


class _ToStderr(logging.Handler):
    """Shows what the rooms below log, such as what was recovered after a crash."""

    def emit(self, record: logging.LogRecord) -> None:
        alert(record.getMessage())


def show_log() -> None:
    """Show this program's log on stderr, once."""
    log = logging.getLogger(_PACKAGE)
    if not any(isinstance(handler, _ToStderr) for handler in log.handlers):
        log.addHandler(_ToStderr(logging.WARNING))


def give(data: Any) -> None:
    """Give the task's result to programs: it is printed at the end, with ``--json``."""
    task_output.current().data = data


def give_one(name: str, data: Any) -> None:
    """Add one to a list of the task's result."""
    output = task_output.current()
    output.data = {**(output.data or {}), name: [*(output.data or {}).get(name, []), data]}


def give_line(data: Any) -> bool:
    """Print a part of a result that has no end, such as a log, as a line of JSON; return whether it has a reader."""
    task_output.current().is_stream = True
    return task_output.print_json(data, indent=None)


def give_error(text: str, results: Sequence[Any] = ()) -> None:
    """Give programs the reason why a task failed, beside what it has done until then."""
    output = task_output.current()
    output.error, output.results = text, list(results)


def is_for_programs() -> bool:
    """Return whether a program reads the task's result: it cannot be asked."""
    return task_output.current().as_json


def interactive() -> bool:
    """Return whether questions can be asked: both stdin and stderr are a terminal, and no program reads the result."""
    return sys.stdin.isatty() and sys.stderr.isatty() and not is_for_programs()


def confirmed(question: str, *, yes: bool, flag: str = "--yes") -> bool:
    """Ask for confirmation; return whether it was given.

    Args:
        question: The question, such as ``"Restore these files?"``.
        yes: Whether a flag has already confirmed it.
        flag: The flag to name if there is no terminal.

    Raises:
        RefusedError: There is no terminal, and no flag confirmed it.
    """
    if yes:
        return True
    if not interactive():
        raise RefusedError(f"{question} Not running in a terminal: pass {flag}.")
    alert(f"{question} [y/N] ", end="")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 problem``, ``2 problems``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def say_plan(plan: Plan, root: Path) -> None:
    """Print each created, changed or removed file with its numbers of added and removed lines."""
    _say_files([(_verb(change), _shown(change.path, root), _counts(change)) for change in plan.effective])
    if not plan.effective:
        say("  the shared files are up to date")


def files_as_data(plan: Plan, root: Path) -> list[dict[str, Any]]:
    """Return each created, changed or removed file for programs: its path below the root, and its lines."""
    return [
        {"path": _shown(each.path, root), "change": _verb(each), "added": each.added, "removed": each.removed}
        for each in plan.effective
    ]


def say_made(files: Sequence[Path], root: Path) -> None:
    """Print each new file, with its number of lines if it is text."""
    contents = {file: file.read_bytes() for file in files}
    _say_files(
        [
            ("made", _shown(file, root), "" if b"\0" in content else f"+{len(content.splitlines())}")
            for file, content in contents.items()
        ]
    )


def _say_files(rows: Sequence[tuple[str, str, str]]) -> None:
    width = max((len(path) for _, path, _ in rows), default=0)
    for verb, path, counts in rows:
        say(f"  {verb:<7} {path:<{width}}  {counts}".rstrip())


def _verb(change: FileChange) -> str:
    return "made" if change.before is None else "removed" if change.after is None else "changed"


def _counts(change: FileChange) -> str:
    return " ".join([f"+{change.added}"] * bool(change.added) + [f"-{change.removed}"] * bool(change.removed))


def _shown(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def say_next(*steps: Step) -> None:
    """Print the next steps, when the task that was typed has ended."""
    every = task_output.current().steps
    every.extend(step for step in steps if step not in every)


def say_list(headings: Sequence[str], rows: Sequence[Sequence[str]], *, names: int = 0) -> None:
    """Print a table of what has a name; with ``--quiet`` only the names, one in a line.

    Args:
        headings: The columns' headings.
        rows: The cells.
        names: The column with the names.
    """
    if not task_output.current().quiet:
        say_table(headings, rows)
    elif not is_for_programs():
        for name in dict.fromkeys(row[names] for row in rows):
            terminal.write(sys.stdout, name)


def say_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table with aligned columns."""
    table = [list(headings), *map(list, rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(headings))]
    for row in table:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def say_materialized(outcome: MaterializeResult) -> None:
    """Print the assets that a materialization stored, and the results of its checks."""
    rows = [
        (asset.asset, "-" if asset.rows is None else str(asset.rows), asset.path or "-") for asset in outcome.assets
    ]
    say_table(("ASSET", "ROWS", "STORED AT"), rows)
    for check in outcome.checks:
        say(f"check {check.check} of {check.asset}: {'passed' if check.passed else 'failed'}")


def say_diff(diff: str) -> None:
    """Print a unified diff, in colour on a terminal."""
    if not (sys.stdout.isatty() and "NO_COLOR" not in os.environ):
        say(diff)
        return
    from rich.console import Console  # imported late: only colours need it
    from rich.syntax import Syntax

    Console().print(Syntax(terminal.shown(diff), "diff", background_color="default"))
