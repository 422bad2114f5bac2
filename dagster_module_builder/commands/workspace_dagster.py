"""``workspace.*``: the workspace's Dagster, natively and in containers."""

from __future__ import annotations

from invoke.context import Context
from invoke.exceptions import Exit

from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import JSON_HELP, ROOT_HELP, command, root_of
from dagster_module_builder.commands.trusting import TRUST_HELP, agree_to_run
from dagster_module_builder.commands.workspace_reports import NAME_HELP


@command(
    "workspace.dev", help={"root": ROOT_HELP, "port": "The port of Dagster's page (default: DAGSTER_PORT of .env)."}
)
def dev(_context: Context, root: str | None = None, port: int = 0) -> None:
    """Run Dagster here, without Docker, until it is interrupted."""
    from dagster_module_builder.native import local_dagster
    from dagster_module_builder.workspaces.workspace import read_workspace

    where = root_of(root)
    chosen = port or int(read_workspace(where).own_env.get("DAGSTER_PORT") or 3000)

    def starting() -> None:
        for database in local_dagster.databases_down(where):
            console.tell(
                f"{database.service} does not answer on port {database.port}. Start it with:\n  {database.command}"
            )
        console.tell("Preparing the environment…")
        console.say(f"Dagster will be at http://127.0.0.1:{chosen} (Ctrl-C ends it)")

    code = local_dagster.dev(where, chosen, starting=starting)
    if code not in {0, -2, 130}:
        raise Exit(code=1)


@command(
    "workspace.materialize",
    help={
        "name": NAME_HELP,
        "root": ROOT_HELP,
        "select": "Which assets, as Dagster's selections are written (default: all).",
        "partition": "The key of one partition, where assets are partitioned.",
        "verbose": "Show Dagster's log.",
        "trust": TRUST_HELP,
        "json": JSON_HELP,
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
    json: bool = False,
) -> None:
    """Materialize a module's assets here, without Docker, and print what was stored."""
    from dataclasses import asdict

    from dagster_module_builder.modules import module
    from dagster_module_builder.native import local_dagster
    from dagster_module_builder.workspaces.workspace import read_workspace

    where = root_of(root)
    read_workspace(where)
    path = module.locate(where, name)
    agree_to_run(where, path, trust=trust)
    if not json:
        console.tell("Preparing the environment…")
    done = local_dagster.materialize(where, path, select, partition, verbose=verbose)
    if json:
        console.say_json(asdict(done))
        return
    console.say_materialized(done)
    console.say_next([("workspace.dev", "see the run in Dagster's page")])


@command(
    "workspace.up",
    help={"root": ROOT_HELP, "no-build": "Start the image that was built before."},
)
def up(_context: Context, root: str | None = None, no_build: bool = False) -> None:
    """Build and start the workspace's containers, and wait until they are healthy."""
    from dagster_module_builder.compose import docker
    from dagster_module_builder.compose.image_sizes import image_sizes
    from dagster_module_builder.workspaces.module_fragments import refuse_changed_paths
    from dagster_module_builder.workspaces.workspace import read_workspace

    where = root_of(root)
    workspace = read_workspace(where)
    refuse_changed_paths(workspace)
    docker.up(where, build=not no_build)
    for image in image_sizes(where):
        console.say(f"Image {image}")
    console.say(f"Dagster is at http://127.0.0.1:{workspace.own_env.get('DAGSTER_PORT', '3000')}")
    console.say_next([("workspace.logs", "see what the containers say"), ("workspace.down", "stop them; data stays")])


@command("workspace.down", help={"root": ROOT_HELP})
def down(_context: Context, root: str | None = None) -> None:
    """Stop and remove the workspace's containers; volumes stay."""
    from dagster_module_builder.compose import docker
    from dagster_module_builder.workspaces.workspace import read_workspace

    where = root_of(root)
    read_workspace(where)
    docker.down(where)
    console.say("The containers are gone; their data stays in the volumes.")


@command(
    "workspace.logs",
    help={"root": ROOT_HELP, "follow": "Go on until interrupted.", "service": "Only this service's."},
)
def logs(_context: Context, root: str | None = None, follow: bool = False, service: str | None = None) -> None:
    """Show the containers' logs."""
    from dagster_module_builder.compose import docker
    from dagster_module_builder.workspaces.workspace import read_workspace

    where = root_of(root)
    read_workspace(where)
    docker.logs(where, follow=follow, service=service)


TASKS = (dev, materialize, up, down, logs)
