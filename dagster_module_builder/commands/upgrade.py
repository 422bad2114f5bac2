"""``upgrade``: modules brought up to today's template, or to today's pattern."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit

from dagster_module_builder.base.errors import BuilderError, ToolError, UsageError
from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import DRY_RUN_HELP, ROOT_HELP, command, name_unless, root_of
from dagster_module_builder.commands.trusting import TRUST_HELP, agree_to_run
from dagster_module_builder.disclosure import terminal

if TYPE_CHECKING:
    from dagster_module_builder.upgrade.every import Upgrade
    from dagster_module_builder.upgrade.run import UpgradeResult


@command(
    "upgrade",
    help={
        "name": "The module's name; it may have been made by anybody.",
        "root": ROOT_HELP,
        "all": "Upgrade every module of the workspace.",
        "dry-run": DRY_RUN_HELP,
        "check": "Exit 1 when there is something to upgrade; change nothing.",
        "continue": "End an upgrade whose conflicts are resolved.",
        "abort": "Give back every byte that an unfinished upgrade changed.",
        "keep-mine": "With --continue: files that are as before the upgrade stay so, without the template's changes.",
        "set": "Another answer to one of the template's questions: NAME=VALUE; may be given several times.",
        "allow-dirty": "Go on although git has changes that are not committed.",
        "from-template": "The template that the module was made from, where no baseline is kept with the module.",
        "test-dagster": "A version of Dagster to load and test the module with, in an environment of its own.",
        "trust": TRUST_HELP,
    },
    positional=name_unless("--all"),
    iterable=["set"],
)
def upgrade(
    _context: Context,
    name: str | None = None,
    root: str | None = None,
    all: bool = False,  # noqa: A002 - the flag's name
    dry_run: bool = False,
    check: bool = False,
    continue_: bool = False,
    abort: bool = False,
    keep_mine: bool = False,
    set: Sequence[str] | None = None,  # noqa: A002 - the flag's name
    allow_dirty: bool = False,
    from_template: str | None = None,
    test_dagster: str | None = None,
    trust: bool = False,
) -> None:
    """Bring a module up to date; exit 1 where a person has to resolve conflicts."""
    from dagster_module_builder.upgrade import run  # it loads what only upgrades need

    if bool(name) == all or (continue_ + abort + check + dry_run + bool(test_dagster)) > 1:
        raise UsageError("Give a module's name, or --all; and one of --check, --continue, --abort, --dry-run at most.")
    if set and (not name or continue_ or abort or test_dagster):
        raise UsageError("--set needs a module's name, and goes with --check or --dry-run at most.")
    if keep_mine and not continue_:
        raise UsageError("--keep-mine needs --continue.")
    where = root_of(root)
    if test_dagster:
        _each(where, name, lambda one: _try_dagster(where, one, test_dagster, trust=trust))
    elif continue_ or abort:
        from dagster_module_builder.upgrade import ending

        end = partial(ending.finish, keep_mine=keep_mine) if continue_ else ending.abort
        verb = "Finished" if continue_ else "Gave back"
        _each(where, name, lambda one: _said(end(where, one), where, verb), run.waiting(where))
    else:
        old = Path(from_template) if from_template else None
        quiet = check or dry_run
        given = _answers(set or ())
        upgraded = partial(run.upgrade, where, dry_run=quiet, allow_dirty=allow_dirty, from_template=old, answers=given)
        if name:
            _ended([_said_or_checked(upgraded(name), where, check=check)])
        else:
            _ended(_every(where, upgraded, check=check))


def _answers(pairs: Sequence[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise UsageError(f"--set {pair}: write NAME=VALUE.")
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def _every(root: Path, upgraded: Upgrade, *, check: bool) -> Iterator[bool]:
    """Upgrade every module of the workspace, and say of each how it ended; the others go on where one fails."""
    from dagster_module_builder.audit.run import projects_in
    from dagster_module_builder.upgrade.every import upgrade_each

    names = [path.name for path in projects_in(root)]
    for name, outcome in upgrade_each(root, names, upgraded, lambda done, name: _progress(done, len(names), name)):
        _progress()
        if isinstance(outcome, BuilderError):
            yield _failed(name, outcome)
        else:
            yield _said_or_checked(outcome, root, check=check)


def _progress(done: int = 0, of: int = 0, name: str = "") -> None:
    """Show how far it is, on a terminal; without a name, clear that line for what follows."""
    if sys.stderr.isatty():
        line = f"[{done}/{of}] {terminal.shown(name)}" if name else ""
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)  # noqa: T201 - it moves the cursor


def _failed(name: str, error: BuilderError) -> bool:
    console.tell(f"Error: {name}: {error}")
    return False


def _each(root: Path, name: str | None, act: Callable[[str], bool], every: Sequence[str] | None = None) -> None:
    """Do something for one module, or for all (or ``every`` one that is named); exit 1 where one did not end well."""
    from dagster_module_builder.audit.run import projects_in

    if name:
        _ended([act(name)])
    else:
        _ended(_tried(one, act) for one in (every if every is not None else [path.name for path in projects_in(root)]))


def _tried(name: str, act: Callable[[str], bool]) -> bool:
    try:
        return act(name)
    except BuilderError as error:
        return _failed(name, error)


def _ended(well: Iterable[bool]) -> None:
    if False in list(well):
        raise Exit(code=1)


def _said_or_checked(outcome: UpgradeResult, root: Path, *, check: bool) -> bool:
    if not check:
        return _said(outcome, root, "Would upgrade" if outcome.dry_run else "Upgraded")
    name = outcome.module.name
    if not outcome.changes:
        return _said(outcome, root, "")
    console.say(f"{name} can be upgraded")
    _say_what(outcome, root)
    return False


def _said(outcome: UpgradeResult, root: Path, verb: str) -> bool:
    name = outcome.module.name
    unchanged = "is not up to date" if outcome.behind else "is up to date"
    console.say(f"{verb} {name}" if outcome.changes else f"{name} {unchanged}")
    _say_what(outcome, root)
    if outcome.dry_run and outcome.changes:
        texts = (
            change for change in outcome.plan.effective if b"\0" not in (change.before or b"") + (change.after or b"")
        )
        console.say_diff("\n".join(change.diff() for change in texts))
    if outcome.conflicts and not outcome.dry_run:
        steps = [
            (f"upgrade {name} --continue", "when no marker is left"),
            (f"upgrade {name} --abort", "give it all back"),
        ]
        console.say_next(steps)
    elif outcome.gives_something_else and not outcome.dry_run:
        console.say_next([("workspace.sync", "bring what it gives to the workspace up to date there")])
    return not outcome.conflicts and not outcome.behind


def _say_what(outcome: UpgradeResult, root: Path) -> None:
    """Print the files that change, the conflicts, and what a person has to know."""
    if outcome.changes:
        console.say_plan(outcome.plan, root)
    for note in (*outcome.notes, *filter(None, [outcome.behind])):
        console.tell(note)
    if outcome.conflicts:
        console.say("\nConflicts, marked in the files:")
        for path in outcome.conflicts:
            console.say(f"  {outcome.module / path}")


def _try_dagster(root: Path, name: str, version: str, *, trust: bool) -> bool:
    """Load and test a module with another version of Dagster, beside its present environment."""
    from dagster_module_builder.audit import report, run
    from dagster_module_builder.modules.module_environment import environment_of, refuse_unpublished

    path = run.find(root, name)
    agree_to_run(root, path, trust=trust)
    try:
        python = environment_of(root, path, tests=True, dagster=version)
    except ToolError:
        refuse_unpublished(version)
        raise
    found = run.audit(root, path, run.Wanted(load=True, tests=True, python=python), only=("loads", "tests-pass"))
    console.say(f"{name} with Dagster {version}")
    for status, words in report.lines(found):
        console.say(f"  {status}: {words}")
    return not found.failed
