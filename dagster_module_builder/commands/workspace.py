"""``workspace.init`` and ``workspace.add``: a workspace, and a module in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from invoke.context import Context

from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import DRY_RUN_HELP, ROOT_HELP, choice, command, root_of
from dagster_module_builder.commands.task_output import step
from dagster_module_builder.commands.workspace_reports import (
    ADOPT_HELP,
    ALLOW_HELP,
    NAME_HELP,
    NO_CHECK_HELP,
    UP_HELP,
    change_as_data,
    external_checks,
    say_outcome,
    steps_into_dagster,
    tell_dagster,
)


@command(
    "workspace.init",
    help={
        "root": ROOT_HELP,
        "port": "Port of Dagster's page on this machine (default: the next free port from 3000).",
        "network": "Docker's name for the network 'workspace-net' (default: PROJECT-net).",
        "project": "Compose project name (default: the folder's name).",
        "python-image": "Base image for Dagster.",
        "postgres-image": "Image of Dagster's database.",
        "isolation": "In containers, a module has its own variables and code alone: modules; or not: none.",
    },
)
def init(
    _context: Context,
    root: str | None = None,
    port: str | None = None,
    network: str | None = None,
    project: str | None = None,
    python_image: str | None = None,
    postgres_image: str | None = None,
    isolation: str | None = None,
) -> None:
    """Create an empty workspace; an existing workspace is not changed."""
    from dagster_module_builder.workspaces.initialize import initialize

    flags = {
        "port": port,
        "network": network,
        "project": project,
        "python_image": python_image,
        "postgres_image": postgres_image,
        "isolation": isolation,
    }
    created = initialize(root_of(root), {key: value for key, value in flags.items() if value is not None})
    console.give(
        {
            "root": str(created.root),
            "changed": created.changed,
            "made": [str(path) for path in created.made],
            "kept": [str(path) for path in created.kept],
        }
    )
    if not created.changed:
        console.say(f"{created.root} is already a workspace; nothing was changed.")
        return
    console.say(f"Created a workspace in {created.root}")
    console.say_made(created.made, created.root)
    for path in created.kept:
        console.inform(f"  kept    {path.relative_to(created.root)}, which already existed")
    console.say_next(step("create a module", "new", "NAME"), step("run Dagster here, without Docker", "workspace.dev"))


@command(
    "workspace.add",
    help={
        "name": NAME_HELP,
        "root": ROOT_HELP,
        "dry-run": DRY_RUN_HELP,
        "no-check": NO_CHECK_HELP,
        "force": "Replace this module's blocks even if the registry does not list them.",
        "adopt": ADOPT_HELP,
        "up": UP_HELP,
        "move": "First move the module's folder to the workspace's folder of modules, if it is outside.",
        "code-server": "'own': give it its own image and code server, with its own Dagster (default: if needed).",
        "code-service": "A service that runs code, if the compose file does not show which ones do; repeatable.",
        "allow": ALLOW_HELP,
    },
    iterable=["code_service", "allow"],
)
def add(
    _context: Context,
    name: str,
    root: str | None = None,
    dry_run: bool = False,
    no_check: bool = False,
    force: bool = False,
    adopt: bool = False,
    move: bool = False,
    up: bool = False,
    code_server: str = "auto",
    code_service: Sequence[str] | None = None,
    allow: Sequence[str] | None = None,
) -> None:
    """Add a module to the workspace."""
    from dagster_module_builder.fragment_rules.refused import parse_allowances
    from dagster_module_builder.workspaces.add import add_module

    root_path = root_of(root)
    may_move = move or (not dry_run and _wants_move(root_path, name))
    outcome = add_module(
        root_path,
        name,
        dry_run=dry_run,
        force=force,
        adopting=adopt,
        move=may_move,
        code_services=code_service or (),
        own_server=choice("code-server", code_server, ("auto", "own")) == "own",
        allowances=parse_allowances(allow or ()),
        checks=external_checks(no_check=no_check),
        warn=console.inform,
    )
    say_outcome(outcome, root_path, "Added", "to")
    console.give(change_as_data(outcome, root_path))
    tell_dagster(outcome, root_path, start=up)
    if not dry_run:
        (added,) = outcome.modules
        console.say_next(*steps_into_dagster(root_path, added))


def _wants_move(root: Path, name: str) -> bool:
    """Ask whether to move a module that is outside the workspace; return False if there is nothing to ask."""
    from dagster_module_builder.base.layout import layout_of
    from dagster_module_builder.modules import module

    outside = module.lies_outside(root, name)
    if outside is None or not console.interactive():
        return False
    question = f"{outside} is outside the workspace. Move it to {layout_of(root).new_modules}?"
    return console.confirmed(question, yes=False, flag="--move")


TASKS = (init, add)
