"""Running the workspace in containers with Docker Compose 2."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.compose import other_containers
from dagster_module_builder.compose.compose_program import captured, need_daemon, pass_through
from dagster_module_builder.compose.config import model
from dagster_module_builder.disclosure import terminal
from dagster_module_builder.programs import engine, strangers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

#: How long services may take to become healthy, in seconds; a database's first start on a slow disk takes a minute.
PATIENCE = 300.0
_PAUSE = 1.0
_LOG_LINES = "20"


@dataclass(frozen=True)
class ServiceStatus:
    """The status of a service's container.

    Attributes:
        name: The service's name.
        state: The container's state in the engine's words: ``running``.
        health: The result of its health check; empty without one.
        exit_code: Its exit code, or 0.
        ports: The ports of this machine that it publishes.
    """

    name: str
    state: str
    health: str
    exit_code: int
    ports: tuple[int, ...] = ()

    @property
    def is_well(self) -> bool:
        """Whether it runs and is healthy, or has completed its only task."""
        done = self.state == "exited" and self.exit_code == 0
        return done or (self.state == "running" and self.health in {"", "healthy"})

    @property
    def has_failed(self) -> bool:
        """Whether it failed, so that waiting longer is useless."""
        return self.health == "unhealthy" or self.state == "dead" or (self.state == "exited" and self.exit_code != 0)

    def __str__(self) -> str:
        """Return its status: ``postgres: healthy``."""
        if self.state == "exited":
            return f"{self.name}: {'done' if self.exit_code == 0 else f'ended with code {self.exit_code}'}"
        return f"{self.name}: {self.health or self.state}"


def up(root: Path, *, build: bool = True, before: Callable[[Sequence[str]], None] | None = None) -> None:
    """Build the images, start all services, and wait until each is healthy; their status is shown on stderr.

    Args:
        root: The workspace's root.
        build: Whether to build the images first; unchanged parts come from the builder's cache.
        before: Called with the services that are about to be restarted, unless there are none.

    Raises:
        ToolError: Docker is not there, or a service did not start; the error has the last lines of its log.
    """
    need_daemon(root)
    strangers.refuse_strangers(root, _entries(root))
    project = model(root)
    strangers.refuse_foreign_networks(root, project)
    other_containers.refuse_other_files(root, project)
    if build:
        pass_through(root, "build")
    if before and (services := restarting(root, project)):
        before(services)
    other_containers.remove_orphans(root, project["name"])
    with _explaining(root):
        pass_through(root, "up", "--detach", "--no-build")
    _wait(root)


def restarting(root: Path, project: Mapping[str, Any]) -> list[str]:
    """Return the running services that Compose would restart, since their definition or their image changed.

    Args:
        root: The workspace's root.
        project: The project as Compose understands it.
    """
    digests = dict(line.split() for line in captured(root, "config", "--hash", "*").splitlines())
    running = engine.made_from(project["name"])
    images = {
        name: service.get("image") or f"{project['name']}-{name}" for name, service in project["services"].items()
    }
    return [
        name
        for name, (digest, image) in running.items()
        if name in digests and (digest != digests[name] or engine.image_id(images[name]) not in {"", image})
    ]


def down(root: Path, *, volumes: bool = False) -> None:
    """Stop and remove all containers, and with ``volumes`` also the volumes with all data.

    Raises:
        ToolError: Docker is not there, or failed.
    """
    need_daemon(root)
    strangers.refuse_strangers(root, _entries(root))
    other_containers.remove_orphans(root, model(root)["name"])
    pass_through(root, "down", *(["--volumes"] if volumes else []))


def logs(root: Path, out: Callable[[str], bool], *, follow: bool = False, service: str | None = None) -> None:
    """Pass on the containers' logs; with ``follow`` until interrupted.

    Args:
        root: The workspace's root.
        out: Gets each line, ``SERVICE-1  | TEXT``, and returns whether it still has a reader.
        follow: Whether to go on with what is written from now on.
        service: Only this service's.

    Raises:
        ToolError: Docker is not there, or there is no such service.
    """
    need_daemon(root)
    arguments = ["logs", *(["--follow"] if follow else []), *(["--", service] if service else [])]
    # Ctrl-C ends following.
    with contextlib.suppress(KeyboardInterrupt):
        pass_through(root, *arguments, out=out)


def restart(root: Path, service: str) -> None:
    """Restart one service, and wait until it is healthy.

    Raises:
        ToolError: Docker is not there, or the service did not start again.
    """
    pass_through(root, "restart", "--no-deps", service)
    _wait(root, only=service)


def services(root: Path) -> list[ServiceStatus]:
    """Return the status of the workspace's containers, without those of another folder with the same project name.

    Raises:
        ToolError: Docker is not there, or failed.
    """
    entries = _entries(root)
    strange = strangers.strange_folders(root, entries)
    own = [entry for entry in entries if entry["Name"] not in strange]
    return sorted((_service(entry) for entry in own), key=lambda service: service.name)


def _entries(root: Path) -> list[dict[str, Any]]:
    text = captured(root, "ps", "--all", "--format", "json").strip()
    # Older versions of Compose 2 print a list, newer ones an object on each line.
    return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]


def _service(entry: Mapping[str, Any]) -> ServiceStatus:
    ports = {int(publisher.get("PublishedPort") or 0) for publisher in entry.get("Publishers") or ()} - {0}
    return ServiceStatus(
        str(entry["Service"]),
        str(entry["State"]),
        str(entry.get("Health", "")),
        int(entry.get("ExitCode", 0)),
        tuple(sorted(ports)),
    )


def _wait(root: Path, only: str | None = None) -> None:
    end = time.monotonic() + PATIENCE
    reported: dict[str, str] = {}
    while True:
        statuses = [service for service in services(root) if only in {None, service.name}]
        for service in statuses:
            if reported.get(service.name) != str(service):
                reported[service.name] = str(service)
                terminal.inform(f"  {service}")
        if all(service.is_well for service in statuses):
            return
        if any(service.has_failed for service in statuses) or time.monotonic() > end:
            raise ToolError(_explanation(root, statuses))
        time.sleep(_PAUSE)


@contextlib.contextmanager
def _explaining(root: Path) -> Iterator[None]:
    try:
        yield
    except ToolError as error:
        failed = [service for service in services(root) if service.has_failed]
        if not failed:
            raise
        raise ToolError(_explanation(root, failed)) from error


def _explanation(root: Path, statuses: Sequence[ServiceStatus]) -> str:
    unwell = [service for service in statuses if not service.is_well]
    lines = ["The workspace did not start."]
    for service in [service for service in unwell if service.has_failed] or unwell:
        log = captured(root, "logs", "--no-log-prefix", "--tail", _LOG_LINES, "--", service.name).strip()
        lines += [f"{service}; its log ends with:", *(f"    {line}" for line in log.splitlines())]
    return "\n".join(lines)
