"""``upgrade``: bring modules up to the current template, or add what they lack."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.context import Context
from invoke.exceptions import Exit

from dagster_module_builder.base.errors import BuilderError, RefusedError, ToolError, UsageError
from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import DRY_RUN_HELP, ROOT_HELP, command, name_unless, root_of
from dagster_module_builder.commands.task_output import Step, step
from dagster_module_builder.commands.trusting import TRUST_HELP, agree_to_run, may_load
from dagster_module_builder.disclosure import terminal

if TYPE_CHECKING:
    from dagster_module_builder.upgrade.every import Upgrade
    from dagster_module_builder.upgrade.result import UpgradeResult


@command(
    "upgrade",
    help={
        "name": "The module's name; it need not come from the template.",
        "root": ROOT_HELP,
        "all": "Upgrade every module of the workspace.",
        "dry-run": DRY_RUN_HELP,
        "check": "Change nothing; exit 1 if there is something to upgrade.",
        "continue": "Finish an upgrade after you resolved its conflicts.",
        "abort": "Undo an unfinished upgrade.",
        "keep-mine": "With --continue: accept files without the template's changes.",
        "set": "Change an answer to one of the template's questions: NAME=VALUE; repeatable.",
        "allow-dirty": "Upgrade despite uncommitted changes in git.",
        "from-template": "The template that the module was created from, if the module has no baseline.",
        "test-dagster": "Load and test the module with this version of Dagster, in a separate environment.",
        "trust": TRUST_HELP,
        "no-load": "Do not check that the definitions load after the upgrade as before it.",
        "location": "The code location to take, if the project has several, such as sales.definitions.",
        "partial": "Upgrade without asking, even if a part has to be done by hand.",
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
    no_load: bool = False,
    partial: bool = False,
    location: str | None = None,
) -> None:
    """Upgrade a module to the current template; exit 1 if there are conflicts to resolve."""
    from dagster_module_builder.upgrade import run  # imported late: only upgrades need it

    if bool(name) == all or (continue_ + abort + check + dry_run + bool(test_dagster)) > 1:
        raise UsageError(
            "Pass a module's name or --all, and at most one of --check, --continue, --abort and --dry-run."
        )
    if location and not name:
        raise UsageError("--location needs a module's name.")
    if set and (not name or continue_ or abort or test_dagster):
        raise UsageError("--set needs a module's name, and can be combined only with --check or --dry-run.")
    if keep_mine and not continue_:
        raise UsageError("--keep-mine needs --continue.")
    root_path = root_of(root)
    if test_dagster:
        _for_each(root_path, name, lambda module: _try_dagster(root_path, module, test_dagster, trust=trust))
    elif continue_ or abort:
        from dagster_module_builder.upgrade import ending
        from dagster_module_builder.upgrade.proof import Loader

        def finish(root: Path, name: str) -> UpgradeResult:
            module = run.locate(root, name)
            loader = None if no_load else Loader(root, module, functools.partial(_may_load, root, module, trust=trust))
            return ending.finish(root, name, keep_mine=keep_mine, loader=loader)

        end = finish if continue_ else ending.abort
        verb = "Finished" if continue_ else "Undid"
        unfinished = run.waiting(root_path)
        _for_each(root_path, name, lambda module: _reported(end(root_path, module), root_path, verb), unfinished)
    else:
        consent = run.Consent(
            may_run=functools.partial(_may_load, root_path, trust=trust),
            goes_on=functools.partial(_goes_on, yes=partial),
            choose=_choose,
            load=not no_load,
        )
        upgraded = functools.partial(
            run.upgrade,
            root_path,
            dry_run=check or dry_run,
            allow_dirty=allow_dirty,
            from_template=Path(from_template) if from_template else None,
            answers=_answers(set or ()),
            consent=consent,
            location=location,
        )
        if name:
            _exit_if_failed([_reported_or_checked(upgraded(name), root_path, check=check)])
        else:
            _exit_if_failed(_every(root_path, upgraded, check=check))


def _may_load(root: Path, module: Path, *, trust: bool) -> bool:
    _progress()
    return may_load(root, module, trust=trust)


def _choose(module: Path, names: Sequence[str]) -> str:
    """Ask which of a project's code locations is taken: a module has one."""
    _progress()
    listed = "\n".join([f"{module.name} has {len(names)} code locations:", *(f"- {name}" for name in names)])
    if not console.interactive():
        raise RefusedError(f"{listed}\nNothing was changed. Pass --location NAME to take one of them.")
    console.alert(listed)
    console.alert(f"Which one is the module? [{names[0]}] ", end="")
    answer = sys.stdin.readline().strip() or names[0]
    if answer not in names:
        raise RefusedError(f"{answer} is not one of them. Nothing was changed.")
    return answer


def _goes_on(module: Path, by_hand: Sequence[str], *, yes: bool) -> bool:
    """Say what the upgrade of a module cannot do, and ask whether it goes on."""
    if yes:
        return True
    _progress()
    console.alert(_by_hand(module.name, by_hand))
    return console.confirmed(f"Upgrade {module.name} without that?", yes=False, flag="--partial")


def _by_hand(name: str, by_hand: Sequence[str]) -> str:
    return "\n".join([f"The upgrade cannot do all that {name} needs:", *(f"- {part}" for part in by_hand)])


def _answers(pairs: Sequence[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise UsageError(f"--set {pair} has no '='. Pass NAME=VALUE.")
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def _every(root: Path, upgraded: Upgrade, *, check: bool) -> Iterator[bool]:
    """Upgrade every module of the workspace and report each result; a failure does not stop the others."""
    from dagster_module_builder.audit.run import projects_in
    from dagster_module_builder.upgrade.every import upgrade_each

    names = [path.name for path in projects_in(root)]
    for name, outcome in upgrade_each(root, names, upgraded, lambda done, name: _progress(done, len(names), name)):
        _progress()
        if isinstance(outcome, BuilderError):
            yield _failed(name, outcome)
        else:
            yield _reported_or_checked(outcome, root, check=check)


def _progress(done: int = 0, of: int = 0, name: str = "") -> None:
    """Show the progress on a terminal; without a name, clear that line."""
    if terminal.shows_progress():
        line = f"[{done}/{of}] {terminal.shown(name)}" if name else ""
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)  # noqa: T201 - moves the cursor


def _failed(name: str, error: BuilderError) -> bool:
    console.give_one("modules", {"module": name, "error": str(error)})
    console.alert(f"Error: {name}: {error}")
    return False


def _for_each(root: Path, name: str | None, action: Callable[[str], bool], names: Sequence[str] | None = None) -> None:
    """Run an action for the named module, else for ``names`` (default: all modules); exit 1 if one fails."""
    from dagster_module_builder.audit.run import projects_in

    if name:
        _exit_if_failed([action(name)])
    else:
        chosen = names if names is not None else [path.name for path in projects_in(root)]
        _exit_if_failed(_tried(module, action) for module in chosen)


def _tried(name: str, action: Callable[[str], bool]) -> bool:
    try:
        return action(name)
    except BuilderError as error:
        return _failed(name, error)


def _exit_if_failed(succeeded: Iterable[bool]) -> None:
    if False in list(succeeded):
        raise Exit(code=1)


def _reported_or_checked(outcome: UpgradeResult, root: Path, *, check: bool) -> bool:
    if not check:
        return _reported(outcome, root, "Would upgrade" if outcome.dry_run else "Upgraded")
    name = outcome.module.name
    if not outcome.changes:
        return _reported(outcome, root, "")
    console.give_one("modules", _as_data(outcome, root))
    console.say(f"{name} can be upgraded")
    _say_details(outcome, root)
    return False


def _reported(outcome: UpgradeResult, root: Path, verb: str) -> bool:
    name = outcome.module.name
    console.give_one("modules", _as_data(outcome, root))
    unchanged = "is not up to date" if outcome.behind else "is up to date"
    console.say(f"{verb} {name}" if outcome.changes else f"{name} {unchanged}")
    _say_details(outcome, root)
    if outcome.dry_run and outcome.changes:
        texts = (
            change for change in outcome.plan.effective if b"\0" not in (change.before or b"") + (change.after or b"")
        )
        console.say_diff("\n".join(change.diff() for change in texts))
    if outcome.conflicts and not outcome.dry_run:
        console.say_next(
            step("after resolving the conflicts", "upgrade", name, "--continue"),
            step("undo the upgrade", "upgrade", name, "--abort"),
        )
    elif outcome.changes_fragments and not outcome.dry_run:
        console.say_next(_into_workspace(outcome, root))
    return not outcome.conflicts and not outcome.behind


def _into_workspace(outcome: UpgradeResult, root: Path) -> Step:
    """Return the step that brings a module's changed fragments into the workspace."""
    from dagster_module_builder.workspaces.workspace import look_at

    if look_at(root).registry.find(outcome.module.name):
        return step("update its blocks in the workspace", "workspace.sync")
    return step("add it to the workspace", "workspace.add", outcome.module.name)


def _as_data(outcome: UpgradeResult, root: Path) -> dict[str, Any]:
    """Return the result of an upgrade for programs."""
    return {
        "module": outcome.module.name,
        "path": str(outcome.module),
        "dry_run": outcome.dry_run,
        "up_to_date": not (outcome.changes or outcome.behind),
        "files": console.files_as_data(outcome.plan, root),
        "conflicts": list(outcome.conflicts),
        "notes": list(outcome.notes),
        "by_hand": list(outcome.by_hand),
        "behind": outcome.behind,
        "proof": outcome.proof,
        "backup": outcome.backup,
    }


def _say_details(outcome: UpgradeResult, root: Path) -> None:
    """Print the changed files, the notes and the conflicts."""
    if outcome.changes:
        console.say_plan(outcome.plan, root)
    if outcome.by_hand:
        console.inform(_by_hand(outcome.module.name, outcome.by_hand))
    for note in (*outcome.notes, *filter(None, [outcome.behind])):
        console.inform(note)
    if outcome.proof:
        console.say(outcome.proof)
    if outcome.conflicts:
        console.say("\nConflicts, marked in the files:")
        for path in outcome.conflicts:
            console.say(f"  {outcome.module / path}")


def _try_dagster(root: Path, name: str, version: str, *, trust: bool) -> bool:
    """Load and test a module with another version of Dagster; its current environment stays."""
    from dagster_module_builder.audit import report, run
    from dagster_module_builder.modules.module import folder_of
    from dagster_module_builder.modules.module_environment import environment_of, refuse_unpublished

    path = folder_of(root, name)
    agree_to_run(root, path, trust=trust)
    try:
        python = environment_of(root, path, tests=True, dagster=version)
    except ToolError:
        refuse_unpublished(version)
        raise
    options = run.AuditOptions(load=True, tests=True, python=python)
    result = run.audit(root, path, options, only=("loads", "tests-pass"))
    console.give_one("modules", {"dagster": version, **result.to_json()})
    console.say(f"{name} with Dagster {version}")
    for status, words in report.lines(result):
        console.say(f"  {status}: {words}")
    return not result.failed
