"""``workspace.remove``: remove a module, and optionally its data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context

from dagster_module_builder.base.errors import RefusedError, ToolError
from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import DRY_RUN_HELP, ROOT_HELP, YES_HELP, command, root_of
from dagster_module_builder.commands.task_output import step
from dagster_module_builder.commands.workspace_reports import (
    ADOPT_HELP,
    FORCE_HELP,
    UP_HELP,
    change_as_data,
    say_outcome,
    tell_dagster,
)

if TYPE_CHECKING:
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
) -> None:
    """Remove a module from the workspace; its project is kept, and its data unless --delete-data is passed."""
    from dagster_module_builder.workspaces import module_data
    from dagster_module_builder.workspaces.remove import remove_module

    root_path = root_of(root)
    data = module_data.data_of(root_path, name) if delete_data else None
    if data is not None:
        console.alert(data.describe())
        if not dry_run and not console.confirmed("Delete all of this data?", yes=yes):
            console.inform("Nothing was changed.")
            return
    elif console.interactive() and not (yes or dry_run):
        # Scripts, which have no terminal, are not asked: everything comes back with 'workspace.add'.
        preview = remove_module(root_path, name, dry_run=True, force=force, adopting=adopt)
        console.say_plan(preview.plan, root_path)
        if not console.confirmed(f"Remove {name} from the workspace? Its project and its data stay.", yes=False):
            console.inform("Nothing was changed.")
            return
        data = _data_to_delete(root_path, name)
    outcome = None
    if data is None or data.integrated:
        outcome = remove_module(root_path, name, dry_run=dry_run, force=force, adopting=adopt)
        say_outcome(outcome, root_path, "Removed", "from")
        tell_dagster(outcome, root_path, start=up)
    deleted = [] if data is None or dry_run else _deleted(root_path, data)
    left = list(data.left) if data else []
    console.give(
        {
            "removed": outcome is not None and not dry_run,
            "deleted": deleted,
            "left": left,
            **(change_as_data(outcome, root_path) if outcome else {}),
        }
    )
    if not dry_run:
        console.say_next(step("add it again", "workspace.add", name))


def _data_to_delete(root: Path, name: str) -> ModuleData | None:
    """Ask whether to delete a module's data, too; return it if so.

    There is nothing to ask where there is none, where the name is spelled otherwise, or where Docker cannot say.
    """
    from dagster_module_builder.workspaces import module_data

    try:
        data = module_data.data_of(root, name)
    except (RefusedError, ToolError):
        return None
    if not data.parts():
        return None
    console.alert(data.describe())
    return data if console.confirmed("Delete this data, too?", yes=False) else None


def _deleted(root: Path, data: ModuleData) -> list[str]:
    """Delete a module's data and print each deleted part; return the parts."""
    from dagster_module_builder.workspaces import module_data

    deleted = []
    for part in module_data.delete(root, data):
        deleted.append(part)
        console.say(f"  deleted {part}")
    return deleted


TASKS = (remove,)
