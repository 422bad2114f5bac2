"""``workspace.materialize``, ``.up``, ``.down``, ``.logs``: run modules natively, and Dagster in containers."""

from __future__ import annotations

import sys

from invoke.context import Context

from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import ROOT_HELP, command, root_of
from dagster_module_builder.commands.task_output import step
from dagster_module_builder.commands.trusting import TRUST_HELP, agree_to_run
from dagster_module_builder.commands.workspace_reports import NAME_HELP, steps_into_dagster
from dagster_module_builder.disclosure import terminal


@command(
    "workspace.materialize",
    help={
        "name": NAME_HELP,
        "root": ROOT_HELP,
        "select": "Assets to materialize, in Dagster's selection syntax (default: all).",
        "partition": "Key of the partition, if the assets are partitioned.",
        "verbose": "Show Dagster's log.",
        "trust": TRUST_HELP,
    },
)
def materialize(
    _context: Context,
    name: str,
    root: str | None = None,
    select: str | None = None,
    partition: str | None = None,
    verbose: bool = False,
    trust: bool = False,
) -> None:
    """Materialize a module's assets here without Docker, and print what was stored."""
    from dataclasses import asdict

    from dagster_module_builder.modules import module
    from dagster_module_builder.native import local_dagster
    from dagster_module_builder.workspaces.workspace import read_workspace

    root_path = root_of(root)
    read_workspace(root_path)
    path = module.locate(root_path, name)
    agree_to_run(root_path, path, trust=trust)
    console.inform("Preparing the environment…")
    outcome = local_dagster.materialize(root_path, path, select, partition, verbose=verbose)
    console.give(asdict(outcome))
    console.say_materialized(outcome)
    console.say_next(*steps_into_dagster(root_path, path.name)[1:])


@command(
    "workspace.up",
    help={"root": ROOT_HELP, "no-build": "Start the existing images without building."},
)
def up(_context: Context, root: str | None = None, no_build: bool = False) -> None:
    """Build and start the workspace's containers, and wait until they are healthy."""
    from dataclasses import asdict

    from dagster_module_builder.compose import docker
    from dagster_module_builder.compose.image_sizes import image_sizes
    from dagster_module_builder.health.running_dagster import await_locations, await_runs
    from dagster_module_builder.workspaces.module_fragments import refuse_changed_paths
    from dagster_module_builder.workspaces.workspace import read_workspace

    root_path = root_of(root)
    workspace = read_workspace(root_path)
    refuse_changed_paths(workspace)
    docker.up(root_path, build=not no_build, before=lambda services: await_runs(root_path, services, console.say))
    states = await_locations(root_path, console.inform)
    images = list(image_sizes(root_path))
    for image in images:
        console.say(f"Image {image}")
    address = f"http://127.0.0.1:{workspace.own_env.get('DAGSTER_PORT', '3000')}"
    failed = [{"location": name, "error": error} for name, error in states.items() if error is not None]
    console.say(f"Dagster is at {address}")
    if states:
        console.say(f"Code locations loaded: {len(states) - len(failed)} of {len(states)}")
    for failure in failed:
        console.alert(f"{failure['location']} does not load: {failure['error']}")
    console.give(
        {
            "address": address,
            "images": [asdict(image) for image in images],
            "loaded": len(states) - len(failed),
            "failed": failed,
        }
    )
    console.say_next(
        step("show the containers' logs", "workspace.logs"), step("stop them and keep their data", "workspace.down")
    )


@command("workspace.down", help={"root": ROOT_HELP})
def down(_context: Context, root: str | None = None) -> None:
    """Stop and remove the workspace's containers; volumes are kept."""
    from dagster_module_builder.compose import docker
    from dagster_module_builder.workspaces.workspace import read_workspace

    root_path = root_of(root)
    read_workspace(root_path)
    docker.down(root_path)
    console.give({"root": str(root_path), "running": False})
    console.say("The containers were removed; their volumes were kept.")


@command(
    "workspace.logs",
    help={
        "root": ROOT_HELP,
        "follow": "Follow the logs until interrupted.",
        "service": "Show only this service's logs.",
    },
)
def logs(_context: Context, root: str | None = None, follow: bool = False, service: str | None = None) -> None:
    """Show the containers' logs."""
    from dagster_module_builder.compose import docker
    from dagster_module_builder.workspaces.workspace import read_workspace

    root_path = root_of(root)
    read_workspace(root_path)
    docker.logs(root_path, _log_line, follow=follow, service=service)


def _log_line(line: str) -> bool:
    """Print a line of the log; return whether it still has a reader."""
    service, _, text = line.partition(" | ")
    if console.is_for_programs():
        return console.give_line({"service": service.strip(), "text": text})
    # Also with --quiet: it is what was asked for.
    return terminal.write(sys.stdout, line)


TASKS = (materialize, up, down, logs)
