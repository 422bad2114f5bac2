"""``workspace.adopt``: a repository that runs Dagster already becomes a workspace."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.base.settings import ROOT_VARIABLE, expanded
from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import DRY_RUN_HELP, ROOT_HELP, YES_HELP, command, typed_of
from dagster_module_builder.commands.task_output import step

if TYPE_CHECKING:
    from dagster_module_builder.adoption.model import Survey
    from dagster_module_builder.transactions.plan import Plan
    from dagster_module_builder.workspaces.adopt import Adoption


@command(
    "workspace.adopt",
    positional=typed_of("workspace.adopt", "path", least=0),
    help={
        "path": "The repository (default: the current folder).",
        "root": ROOT_HELP,
        "compose-file": "A file of its Compose project, as 'docker compose -f' takes it; repeatable, in order.",
        "workspace-file": "The workspace file that modules are added to, if services read several.",
        "role": "What a service starts where the project does not say it: 'NAME=webserver'; repeatable.",
        "write-workspace-file": "Make a workspace file of what commands name (-m, -f), and change these to read it.",
        "projects": "A folder of modules in the repository; repeatable or comma-separated. New ones go into the first.",
        "dry-run": DRY_RUN_HELP,
        "yes": YES_HELP,
        "undo": "Take back what 'workspace.adopt' made and changed, once no module is in the workspace.",
        "keep-commands": "With --undo: leave command lines and the workspace file as they are.",
    },
    iterable=["compose_file", "projects", "role"],
)
def adopt(
    _context: Context,
    path: str | None = None,
    root: str | None = None,
    compose_file: Sequence[str] | None = None,
    workspace_file: str | None = None,
    projects: Sequence[str] | None = None,
    role: Sequence[str] | None = None,
    write_workspace_file: bool = False,
    dry_run: bool = False,
    yes: bool = False,
    undo: bool = False,
    keep_commands: bool = False,
) -> None:
    """Take in a repository that runs Dagster already, without changing what it runs."""
    from dagster_module_builder.workspaces import adopt as adopting

    repository = expanded(path or root or os.environ.get(ROOT_VARIABLE) or ".").absolute()
    if undo:
        _undo(repository, yes=yes, keep_commands=keep_commands)
        return
    look = partial(
        adopting.look_through,
        repository,
        [_inside(repository, file) for file in compose_file or ()],
        _inside(repository, workspace_file) if workspace_file else None,
        projects or (),
        roles=adopting.parse_roles(role or ()),
    )
    found = look(write_workspace_file=write_workspace_file)
    _give(found)
    _say_found(found.survey)
    if found.offered and not (yes or dry_run) and console.interactive() and _wants(found.offered):
        found = look(write_workspace_file=True)
    adopting.refuse_open(found)
    if found.is_new:
        console.say_diff(found.plan.diff())
    if dry_run or not found.is_new:
        console.inform("Nothing was changed." if dry_run else f"{repository} is already adopted; nothing was changed.")
        return
    if console.confirmed(f"Adopt {repository}?", yes=yes or console.is_for_programs()):
        adopting.adopt(found)
        _say_adopted(found)
        if warning := adopting.exposed_variables(repository):
            console.inform(warning)


def _wants(offered: Plan) -> bool:
    console.say("No workspace file is read: code is named on command lines. This says the same:")
    console.say_diff(offered.diff())
    return console.confirmed("Make the file, and change the commands?", yes=False)


def _inside(repository: Path, file: str) -> Path:
    path = expanded(file)
    if path.is_absolute() and not path.is_relative_to(repository):
        raise RefusedError(f"{path} is outside {repository}. Pass a file of that repository.")
    return path.relative_to(repository) if path.is_absolute() else path


def _give(found: Adoption) -> None:
    from dagster_module_builder.adoption.report import to_json
    from dagster_module_builder.workspaces.adopt import reason_against

    files = [str(change.path) for change in found.plan.effective]
    error = reason_against(found)
    offered = {"offered": found.offered.diff()} if found.offered else {}
    console.give({**to_json(found.survey), "files": files, **offered, **({"error": str(error)} if error else {})})


def _say_found(survey: Survey) -> None:
    from dagster_module_builder.adoption.report import rows

    console.say_table(("FOUND", "WHERE", "WHY"), [(row.found, row.where, row.why) for row in rows(survey)])


def _say_adopted(found: Adoption) -> None:
    root = found.survey.repository
    console.say(f"Adopted {root}")
    console.say_plan(found.plan, root)
    if found.survey.command_changes:
        console.say_next(step("start the services with their changed commands", "workspace.up"))
    console.say_next(
        step("create a module", "new", "NAME"), step("add one that is in its folder", "workspace.add", "NAME")
    )


def _undo(root: Path, *, yes: bool, keep_commands: bool) -> None:
    from dagster_module_builder.workspaces.release import release

    if not console.confirmed(f"Take back what 'workspace.adopt' made in {root}?", yes=yes):
        console.inform("Nothing was changed.")
        return
    done = release(root, keep_commands=keep_commands)
    console.give({name: [str(path) for path in getattr(done, name)] for name in ("restored", "removed", "left_behind")})
    for path in done.restored:
        console.say(f"  changed {path.relative_to(root)}")
    for path in done.removed:
        console.say(f"  removed {path.relative_to(root)}")
    if done.left_behind:
        console.say("Data of removed modules stays:")
        for name in done.left_behind:
            console.say(f"  {name}")


TASKS = (adopt,)
