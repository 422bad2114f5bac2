"""Printing: results on stdout, everything else on stderr; and asking for confirmation."""

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
    from dagster_module_builder.native.local_dagster import MaterializeResult


#: ``say`` prints results on stdout, ``tell`` prints messages on stderr.
say, tell = terminal.say, terminal.tell

_said_json: list[bool] = []


def say_json(data: Any) -> None:
    """Print data as JSON, without values that may be secret."""
    _said_json.append(True)
    # JSON does not escape DEL.
    say(json.dumps(harmless_data(data), indent=2, default=str).replace("\x7f", "\\u007f"))


def has_said_json() -> bool:
    """Return whether this process has printed its JSON; callers expect one document."""
    return bool(_said_json)


def program_name() -> str:
    """Return the command's name as it was typed: ``invoke`` or ``dagster-module-builder``."""
    typed = Path(sys.argv[0]).name
    return "invoke" if typed in {"invoke", "inv", "__main__.py"} else typed


def interactive() -> bool:
    """Return whether questions can be asked: both stdin and stderr are a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


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
    tell(f"{question} [y/N] ", end="")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def say_plan(plan: Plan, root: Path) -> None:
    """Print each created, changed or removed file with its numbers of added and removed lines."""
    _say_files([(_verb(change), _shown(change.path, root), _counts(change)) for change in plan.effective])
    if not plan.effective:
        say("  the shared files are up to date")


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


def say_next(steps: Sequence[tuple[str, str]]) -> None:
    """Print the next commands; each step is a command without the program's name, and what it does."""
    if not steps:
        return
    say("\nNext:")
    commands = [f"{program_name()} {command}" for command, _ in steps]
    width = max(map(len, commands))
    for typed_command, (_, meaning) in zip(commands, steps, strict=True):
        say(f"  {typed_command:<{width}}  {meaning}".rstrip())


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
