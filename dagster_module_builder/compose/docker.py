"""Running the workspace in containers with Docker Compose 2."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.compose.compose_program import captured, need_daemon, pass_through
from dagster_module_builder.compose.config import model
from dagster_module_builder.disclosure import terminal
from dagster_module_builder.programs import strangers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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


def up(root: Path, *, build: bool = True) -> None:
    """Build the images, start all services, and wait until each is healthy; their status is shown on stderr.

    Args:
        root: The workspace's root.
        build: Whether to build the images first; unchanged parts come from the builder's cache.

    Raises:
        ToolError: Docker is not there, or a service did not start; the error has the last lines of its log.
    """
    need_daemon(root)
    strangers.refuse_strangers(root, _entries(root))
    strangers.refuse_foreign_networks(root, model(root))
    if build:
        pass_through(root, "build")
    with _explaining(root):
        pass_through(root, "up", "--detach", "--remove-orphans", "--no-build")
    _wait(root)


def down(root: Path, *, volumes: bool = False) -> None:
    """Stop and remove all containers, and with ``volumes`` also the volumes with all data.

    Raises:
        ToolError: Docker is not there, or failed.
    """
    need_daemon(root)
    strangers.refuse_strangers(root, _entries(root))
    pass_through(root, "down", "--remove-orphans", *(["--volumes"] if volumes else []))


def logs(root: Path, *, follow: bool = False, service: str | None = None) -> None:
    """Print the containers' logs on stdout; with ``follow`` until interrupted.

    Raises:
        ToolError: Docker is not there, or there is no such service.
    """
    need_daemon(root)
    arguments = ["logs", *(["--follow"] if follow else []), *(["--", service] if service else [])]
    # Ctrl-C ends following.
    with contextlib.suppress(KeyboardInterrupt):
        pass_through(root, *arguments, out=lambda line: terminal.write(sys.stdout, line))


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
                terminal.tell(f"  {service}")
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
