"""What a person reads: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.disclosure import terminal
from dagster_module_builder.disclosure.messages import harmless_data
from dagster_module_builder.transactions.plan import FileChange, Plan

if TYPE_CHECKING:
    from dagster_module_builder.native.local_dagster import Outcome


#: A line of the result, and a message that is none.
say, tell = terminal.say, terminal.tell

_said_json: list[bool] = []


def say_json(data: Any) -> None:
    """Print data for a program to read."""
    _said_json.append(True)
    # Which JSON itself leaves as it is.
    say(json.dumps(harmless_data(data), indent=2, default=str).replace("\x7f", "\\u007f"))


def has_said_json() -> bool:
    """Tell whether this process has printed its JSON: a program expects one document."""
    return bool(_said_json)


def program_name() -> str:
    """Return the name that a person typed to get here: ``invoke``, or the installed program's."""
    typed = Path(sys.argv[0]).name
    return "invoke" if typed in {"invoke", "inv", "__main__.py"} else typed


def interactive() -> bool:
    """Tell whether there is a terminal to ask at."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirmed(question: str, *, yes: bool, flag: str = "--yes") -> bool:
    """Ask before something is destroyed.

    Args:
        question: What is asked.
        yes: Whether it is answered already.
        flag: What answers it where there is no terminal.

    Raises:
        RefusedError: There is no terminal to ask at, and no flag was given.
    """
    if yes:
        return True
    if not interactive():
        raise RefusedError(f"{question} There is no terminal to answer at: give {flag}.")
    tell(f"{question} [y/N] ", end="")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def say_plan(plan: Plan, root: Path) -> None:
    """Print each file that was made or changed, with the lines added and removed."""
    _say_files([(_verb(change), _shown(change.path, root), _counts(change)) for change in plan.effective])
    if not plan.effective:
        say("  the shared files are up to date")


def say_made(files: Sequence[Path], root: Path) -> None:
    """Print new files with their lines, where they are made of lines."""
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


def say_next(steps: Sequence[tuple[str, str]]) -> None:
    """Print what to type next: commands without the program's name, and what each does."""
    if not steps:
        return
    say("\nNext:")
    commands = [f"{program_name()} {command}" for command, _ in steps]
    width = max(map(len, commands))
    for typed, (_, meaning) in zip(commands, steps, strict=True):
        say(f"  {typed:<{width}}  {meaning}".rstrip())


def say_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table whose columns are as wide as they need to be."""
    table = [list(headings), *map(list, rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(headings))]
    for row in table:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def say_materialized(outcome: Outcome) -> None:
    """Print what a materialization stored, and how its checks came out."""
    rows = [(one.asset, "-" if one.rows is None else str(one.rows), one.path or "-") for one in outcome.assets]
    say_table(("ASSET", "ROWS", "STORED AT"), rows)
    for check in outcome.checks:
        say(f"check {check.check} of {check.asset}: {'passed' if check.passed else 'failed'}")


def say_diff(diff: str) -> None:
    """Print a unified diff, in colours on a terminal."""
    if not (sys.stdout.isatty() and "NO_COLOR" not in os.environ):
        say(diff)
        return
    from rich.console import Console  # only where colours are wanted
    from rich.syntax import Syntax

    Console().print(Syntax(terminal.shown(diff), "diff", background_color="default"))
