"""Finding the Dagster that runs a workspace, and telling it apart from others.

A port proves nothing: another checkout's or another user's Dagster may listen on it. A webserver is this workspace's
if a container of its Compose project publishes the port, or if its instance is in the workspace's folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.compose import docker
from dagster_module_builder.compose.waiting import ServiceStatus
from dagster_module_builder.health.dagster_addresses import address_of, first_addresses
from dagster_module_builder.native.native_folder import dev_url
from dagster_module_builder.programs import compose_command, engine, graphql
from dagster_module_builder.workspaces.workspace import Workspace


@dataclass(frozen=True)
class RunningDagster:
    """A Dagster that runs a workspace.

    Attributes:
        url: The webserver's address.
        daemons: The Compose services that are only its daemon.
        is_native: Whether it is 'workspace.dev'.
    """

    url: str
    daemons: tuple[str, ...] = ()
    is_native: bool = False


@dataclass(frozen=True)
class OtherDagster:
    """A Dagster at an address of the workspace that cannot be shown to be the workspace's.

    Attributes:
        url: The webserver's address.
        instance: The folder of its instance as it reports it, or None.
    """

    url: str
    instance: str | None = None

    def __str__(self) -> str:
        """Return a message that the Dagster was left alone."""
        instance = f" Its instance is {self.instance}." if self.instance else ""
        return f"The Dagster at {self.url} is not this workspace's, and was not asked to load the change.{instance}"


def find_running(workspace: Workspace) -> RunningDagster | OtherDagster | None:
    """Find the Dagster that runs a workspace: ``workspace.dev``, its containers, or one at the port in its ``.env``.

    Returns:
        None if no Dagster answers, an ``OtherDagster`` if one answers that is not the workspace's.
    """
    containers = [service for service in _containers(workspace.root) if service.state == "running"]
    published = {address_of(port) for service in containers for port in service.ports}
    first = first_addresses(workspace)
    strangers = []
    # A published port may be a database's, which answers slowly, so no port after the Dagster's is asked.
    for url in filter(graphql.is_up, dict.fromkeys([*first, *sorted(published)])):
        if url in published:
            daemons = tuple(service.name for service in containers if _is_daemon(workspace, service.name))
            return RunningDagster(url, daemons)
        instance = graphql.instance_folder(url)
        if instance and _lies_in(instance, workspace.root):
            return RunningDagster(url, is_native=url == dev_url(workspace.root))
        strangers.append(OtherDagster(url, instance))
    return next(iter(strangers), None)


def find_at(workspace: Workspace, addresses: Sequence[str]) -> RunningDagster | OtherDagster | None:
    """Find the Dagster that runs a workspace at one of these addresses.

    Docker, which takes a second, is only asked where an instance's folder does not show whose Dagster answers.
    """
    urls = [url for url in addresses if graphql.is_up(url)]
    for url in urls:
        instance = graphql.instance_folder(url)
        if instance and _lies_in(instance, workspace.root):
            return RunningDagster(url, is_native=url == dev_url(workspace.root))
    return find_running(workspace) if urls else None


def _lies_in(folder: str, root: Path) -> bool:
    return Path(folder).resolve().is_relative_to(root.resolve())


def _containers(root: Path) -> list[ServiceStatus]:
    try:
        return docker.services(root) if layout_of(root).has_compose and compose_command.is_installed() else []
    except engine.NoEngineError:
        # Without an engine no container runs.
        return []


def _is_daemon(workspace: Workspace, name: str) -> bool:
    service = workspace.stack.services.get(name)
    return service is not None and service.is_daemon
