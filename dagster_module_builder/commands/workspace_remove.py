"""``workspace.remove``: remove a module, and optionally its data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context

from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import DRY_RUN_HELP, JSON_HELP, ROOT_HELP, YES_HELP, command, root_of
from dagster_module_builder.commands.workspace_reports import ADOPT_HELP, FORCE_HELP, UP_HELP, say_outcome, tell_dagster

if TYPE_CHECKING:
    from dagster_module_builder.workspaces.carrying_out import WorkspaceChange
    from dagster_module_builder.workspaces.module_data import ModuleData


@command(
    "workspace.remove",
    help={
        "name": "The module's name.",
        "root": ROOT_HELP,
        "dry-run": DRY_RUN_HELP,
        "delete-data": "Also delete its volumes and its folders below data/, even if the module was removed before.",
        "yes": YES_HELP,
        "force": FORCE_HELP,
        "adopt": ADOPT_HELP,
        "up": UP_HELP,
        "json": JSON_HELP,
    },
)
def remove(
    _context: Context,
    name: str,
    root: str | None = None,
    dry_run: bool = False,
    delete_data: bool = False,
    yes: bool = False,
    force: bool = False,
    adopt: bool = False,
    up: bool = False,
    json: bool = False,
) -> None:
    """Remove a module from the workspace; its project is kept, and its data unless --delete-data is passed."""
    from dagster_module_builder.workspaces import module_data
    from dagster_module_builder.workspaces.remove import remove_module

    root_path = root_of(root)
    data = module_data.data_of(root_path, name) if delete_data else None
    if data is not None:
        console.tell(data.describe())
        if not dry_run and not console.confirmed("Delete all of this data?", yes=yes):
            console.tell("Nothing was changed.")
            return
    outcome = None
    if data is None or data.integrated:
        outcome = remove_module(root_path, name, dry_run=dry_run, force=force, adopting=adopt)
        _say_removed(outcome, root_path, start=up, quiet=json)
    deleted = [] if data is None or dry_run else _deleted(root_path, data, quiet=json)
    if json:
        left = list(data.left) if data else []
        console.say_json({"removed": outcome is not None and not dry_run, "deleted": deleted, "left": left})
    elif not dry_run:
        console.say_next([(f"workspace.add {name}", "add it again")])


def _say_removed(outcome: WorkspaceChange, root: Path, *, start: bool, quiet: bool) -> None:
    if not quiet:
        say_outcome(outcome, root, "Removed", "from")
    tell_dagster(outcome, root, start=start, say=console.tell if quiet else console.say)


def _deleted(root: Path, data: ModuleData, *, quiet: bool) -> list[str]:
    """Delete a module's data and print each deleted part; return the parts."""
    from dagster_module_builder.workspaces import module_data

    deleted = []
    for part in module_data.delete(root, data):
        deleted.append(part)
        (console.tell if quiet else console.say)(f"  deleted {part}")
    return deleted


TASKS = (remove,)
