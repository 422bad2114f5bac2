"""The Dagster that runs a workspace, and those that run beside it and are none of its business.

A port proves nothing: another checkout's Dagster, or another person's, may listen on it. A webserver is this
workspace's where a container of its own Compose project publishes the port, or where its instance lies in its folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dagster_module_builder.compose import docker
from dagster_module_builder.native.native_environment import dev_url
from dagster_module_builder.programs import compose_command, engine, graphql
from dagster_module_builder.workspaces.workspace import Workspace


@dataclass(frozen=True)
class Running:
    """A Dagster that runs a workspace.

    Attributes:
        url: Where its webserver answers.
        daemons: The Compose services that are its daemon, and nothing else.
        is_native: Whether it is 'workspace.dev'.
    """

    url: str
    daemons: tuple[str, ...] = ()
    is_native: bool = False


@dataclass(frozen=True)
class Stranger:
    """A Dagster at an address of the workspace that is not shown to be the workspace's.

    Attributes:
        url: Where its webserver answers.
        instance: The folder of its instance as it states it; None where it states none.
    """

    url: str
    instance: str | None = None

    def __str__(self) -> str:
        """Say whose it is not, and that it is left alone."""
        instance = f" Its instance is {self.instance}." if self.instance else ""
        return f"The Dagster at {self.url} is not this workspace's, and was not told of the change.{instance}"


def find_running(workspace: Workspace) -> Running | Stranger | None:
    """Find the Dagster that runs a workspace: ``workspace.dev``, its containers, or one at the port in its ``.env``.

    Returns:
        None where none answers, a stranger where one answers that is not the workspace's.
    """
    containers = [service for service in _containers(workspace.root) if service.state == "running"]
    published = {f"http://127.0.0.1:{port}" for service in containers for port in service.ports}
    first = [dev_url(workspace.root), f"http://127.0.0.1:{workspace.own_env.get('DAGSTER_PORT') or 3000}"]
    strangers = []
    # A port that is published may be a database's, which waits for more: only what comes before the Dagster is asked.
    for url in filter(graphql.is_up, filter(None, dict.fromkeys([*first, *sorted(published)]))):
        if url in published:
            daemons = tuple(service.name for service in containers if _is_daemon(workspace, service.name))
            return Running(url, daemons)
        instance = graphql.instance_folder(url)
        if instance and _lies_in(instance, workspace.root):
            return Running(url, is_native=url == first[0])
        strangers.append(Stranger(url, instance))
    return next(iter(strangers), None)


def _lies_in(folder: str, root: Path) -> bool:
    return Path(folder).resolve().is_relative_to(root.resolve())


def _containers(root: Path) -> list[docker.ServiceStatus]:
    try:
        return docker.services(root) if compose_command.is_installed() else []
    except engine.NoEngineError:
        # Where no engine runs, no container does.
        return []


def _is_daemon(workspace: Workspace, name: str) -> bool:
    service = workspace.stack.services.get(name)
    return service is not None and service.is_daemon
