"""``workspace.dev``, ``.materialize``, ``.up``, ``.down``, ``.logs``: run Dagster natively or in containers."""

from __future__ import annotations

from invoke.context import Context
from invoke.exceptions import Exit

from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import JSON_HELP, ROOT_HELP, command, root_of
from dagster_module_builder.commands.trusting import TRUST_HELP, agree_to_run
from dagster_module_builder.commands.workspace_reports import NAME_HELP


@command("workspace.dev", help={"root": ROOT_HELP, "port": "Port of Dagster's page (default: DAGSTER_PORT in .env)."})
def dev(_context: Context, root: str | None = None, port: int = 0) -> None:
    """Run Dagster here without Docker, until interrupted."""
    from dagster_module_builder.native import local_dagster
    from dagster_module_builder.workspaces.workspace import read_workspace

    root_path = root_of(root)
    page_port = port or int(read_workspace(root_path).own_env.get("DAGSTER_PORT") or 3000)

    def starting() -> None:
        for database in local_dagster.databases_down(root_path):
            console.tell(
                f"{database.service} does not answer on port {database.port}. Start it with:\n  {database.command}"
            )
        console.tell("Preparing the environment…")
        console.say(f"Dagster will be at http://127.0.0.1:{page_port} (press Ctrl-C to stop it)")

    code = local_dagster.dev(root_path, page_port, starting=starting)
    if code not in {0, -2, 130}:
        raise Exit(code=1)


@command(
    "workspace.materialize",
    help={
        "name": NAME_HELP,
        "root": ROOT_HELP,
        "select": "Assets to materialize, in Dagster's selection syntax (default: all).",
        "partition": "Key of the partition, if the assets are partitioned.",
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
    """Materialize a module's assets here without Docker, and print what was stored."""
    from dataclasses import asdict

    from dagster_module_builder.modules import module
    from dagster_module_builder.native import local_dagster
    from dagster_module_builder.workspaces.workspace import read_workspace

    root_path = root_of(root)
    read_workspace(root_path)
    path = module.locate(root_path, name)
    agree_to_run(root_path, path, trust=trust)
    if not json:
        console.tell("Preparing the environment…")
    outcome = local_dagster.materialize(root_path, path, select, partition, verbose=verbose)
    if json:
        console.say_json(asdict(outcome))
        return
    console.say_materialized(outcome)
    console.say_next([("workspace.dev", "see the run in Dagster's page")])


@command(
    "workspace.up",
    help={"root": ROOT_HELP, "no-build": "Start the existing images without building."},
)
def up(_context: Context, root: str | None = None, no_build: bool = False) -> None:
    """Build and start the workspace's containers, and wait until they are healthy."""
    from dagster_module_builder.compose import docker
    from dagster_module_builder.compose.image_sizes import image_sizes
    from dagster_module_builder.workspaces.module_fragments import refuse_changed_paths
    from dagster_module_builder.workspaces.workspace import read_workspace

    root_path = root_of(root)
    workspace = read_workspace(root_path)
    refuse_changed_paths(workspace)
    docker.up(root_path, build=not no_build)
    for image in image_sizes(root_path):
        console.say(f"Image {image}")
    console.say(f"Dagster is at http://127.0.0.1:{workspace.own_env.get('DAGSTER_PORT', '3000')}")
    console.say_next(
        [("workspace.logs", "show the containers' logs"), ("workspace.down", "stop them and keep their data")]
    )


@command("workspace.down", help={"root": ROOT_HELP})
def down(_context: Context, root: str | None = None) -> None:
    """Stop and remove the workspace's containers; volumes are kept."""
    from dagster_module_builder.compose import docker
    from dagster_module_builder.workspaces.workspace import read_workspace

    root_path = root_of(root)
    read_workspace(root_path)
    docker.down(root_path)
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
    docker.logs(root_path, follow=follow, service=service)


TASKS = (dev, materialize, up, down, logs)
