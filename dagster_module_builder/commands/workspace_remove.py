"""``workspace.remove``, and what ``workspace.list --data`` shows: modules, and what they stored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
        "delete-data": "Delete its volumes, and its folders below data/, too; also of a module removed before.",
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
    """Take a module out of the workspace; its project stays, and its data too unless told otherwise."""
    from dagster_module_builder.workspaces import module_data
    from dagster_module_builder.workspaces.remove import remove_module

    where = root_of(root)
    doomed = module_data.data_of(where, name) if delete_data else None
    if doomed is not None:
        console.tell(doomed.describe())
        if not dry_run and not console.confirmed("Delete all of that?", yes=yes):
            console.tell("Nothing was changed.")
            return
    outcome = None
    if doomed is None or doomed.integrated:
        outcome = remove_module(where, name, dry_run=dry_run, force=force, adopting=adopt)
        _say_removed(outcome, where, start=up, quiet=json)
    gone = [] if doomed is None or dry_run else _deleted(where, doomed, quiet=json)
    if json:
        left = list(doomed.left) if doomed else []
        console.say_json({"removed": outcome is not None and not dry_run, "deleted": gone, "left": left})
    elif not dry_run:
        console.say_next([(f"workspace.add {name}", "bring it back")])


def _say_removed(outcome: WorkspaceChange, root: Path, *, start: bool, quiet: bool) -> None:
    if not quiet:
        say_outcome(outcome, root, "Removed", "from")
    tell_dagster(outcome, root, start=start, say=console.tell if quiet else console.say)


def _deleted(root: Path, doomed: ModuleData, *, quiet: bool) -> list[str]:
    """Delete a module's data, and say each part as it goes."""
    from dagster_module_builder.workspaces import module_data

    gone = []
    for part in module_data.delete(root, doomed):
        gone.append(part)
        (console.tell if quiet else console.say)(f"  deleted {part}")
    return gone


def list_data(root: Path, *, as_json: bool) -> None:
    """Print what modules have stored, those that are gone too."""
    from dagster_module_builder.workspaces.module_data import every_data

    found = every_data(root)
    if as_json:
        console.say_json({"data": [_as_data(one) for one in found]})
        return
    if not found:
        console.say("No module has stored anything.")
        return
    rows = [(one.module, "integrated" if one.integrated else "removed", part) for one in found for part in one.parts()]
    console.say_table(("MODULE", "STATE", "DATA"), rows)
    gone: Sequence[ModuleData] = [one for one in found if not one.integrated]
    console.say_next([(f"workspace.remove {one.module} --delete-data", "delete what it stored") for one in gone])


def _as_data(one: ModuleData) -> dict[str, Any]:
    return {"module": one.module, "integrated": one.integrated, "data": one.parts(), "left": list(one.left)}


TASKS = (remove,)
