"""``workspace.sync`` and ``.restore``: bring the shared files up to date, or back to a backup."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from invoke.context import Context
from invoke.exceptions import Exit

from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import DRY_RUN_HELP, ROOT_HELP, YES_HELP, command, root_of
from dagster_module_builder.commands.workspace_reports import (
    ALLOW_HELP,
    FORCE_HELP,
    NO_CHECK_HELP,
    UP_HELP,
    change_as_data,
    external_checks,
    say_outcome,
    tell_dagster,
)


@command(
    "workspace.sync",
    help={
        "root": ROOT_HELP,
        "prune": "Remove modules whose project folder no longer exists.",
        "check": "Change nothing; exit 1 if something would change.",
        "repair": "Repair damaged markers first, after showing the changes.",
        "yes": YES_HELP,
        "dry-run": DRY_RUN_HELP,
        "force": FORCE_HELP,
        "no-check": NO_CHECK_HELP,
        "up": UP_HELP,
        "allow": ALLOW_HELP,
    },
    iterable=["allow"],
)
def sync(
    _context: Context,
    root: str | None = None,
    prune: bool = False,
    check: bool = False,
    repair: bool = False,
    yes: bool = False,
    dry_run: bool = False,
    force: bool = False,
    no_check: bool = False,
    up: bool = False,
    allow: Sequence[str] | None = None,
) -> None:
    """Update the workspace to the fragments of all modules in projects/."""
    from dagster_module_builder.fragment_rules.refused import parse_allowances
    from dagster_module_builder.workspaces.sync import sync as synchronize

    root_path = root_of(root)
    if repair and not _repaired(root_path, dry_run=dry_run or check, yes=yes):
        return
    result = synchronize(
        root_path,
        prune=prune,
        dry_run=dry_run or check,
        force=force,
        allowances=parse_allowances(allow or ()),
        checks=external_checks(no_check=no_check or check),
        warn=console.inform,
    )
    labels = ("added", "updated", "removed", "vanished")
    console.give(
        {**change_as_data(result.outcome, root_path), **{label: list(getattr(result, label)) for label in labels}}
    )
    say_outcome(result.outcome, root_path, "Synchronized", "with")
    tell_dagster(result.outcome, root_path, start=up)
    for label in labels[:-1]:
        if names := getattr(result, label):
            console.say(f"  {label}: {', '.join(names)}")
    if result.vanished:
        console.alert(
            f"Warning: the project folders of {', '.join(result.vanished)} no longer exist. "
            "Remove these modules with 'workspace.sync --prune'."
        )
    if check and (result.outcome.plan.effective or result.vanished):
        raise Exit("The workspace is not up to date. Run 'workspace.sync'.", code=1)


def _repaired(root: Path, *, dry_run: bool, yes: bool) -> bool:
    """Repair damaged markers after showing the diff; return whether to go on with the synchronization."""
    from dagster_module_builder.workspaces.repair import repair

    plan = repair(root, dry_run=True)
    if not plan.effective:
        return True
    console.give({"root": str(root), "repairs": plan.diff()})
    console.say_diff(plan.diff())
    if dry_run or not console.confirmed("Repair these lines?", yes=yes):
        console.inform("Nothing was changed.")
        return False
    repair(root)
    console.say_plan(plan, root)
    return True


@command(
    "workspace.restore",
    help={
        "identity": "The backup's id, as shown by 'workspace.backups'.",
        "root": ROOT_HELP,
        "dry-run": DRY_RUN_HELP,
        "yes": YES_HELP,
    },
)
def restore(
    _context: Context, identity: str, root: str | None = None, dry_run: bool = False, yes: bool = False
) -> None:
    """Restore the files of a backup; the current files are backed up first."""
    from dagster_module_builder.workspaces.restore import restore as restore_backup

    root_path = root_of(root)
    plan, _ = restore_backup(root_path, identity, dry_run=True)
    console.say_diff(plan.diff())
    given = {"root": str(root_path), "files": console.files_as_data(plan, root_path), "diff": plan.diff()}
    console.give({**given, "restored": False})
    if dry_run or not plan.effective:
        console.inform("Nothing was changed.")
    elif console.confirmed("Restore these files?", yes=yes):
        plan, backup = restore_backup(root_path, identity)
        console.give({**given, "restored": True, "backup": backup})
        console.say_plan(plan, root_path)
        console.say(f"The previous files are in the backup {backup}.")


TASKS = (sync, restore)
