"""Running the workspace in containers with Docker Compose 2."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.compose import other_containers
from dagster_module_builder.compose.compose_program import captured, need_daemon, pass_through
from dagster_module_builder.compose.config import model
from dagster_module_builder.compose.waiting import ServiceStatus, Watch, patience_with
from dagster_module_builder.disclosure import terminal
from dagster_module_builder.programs import engine, strangers

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

_PAUSE = 1.0
_LOG_LINES = "20"
#: Seconds between two looks at the logs of services that are not healthy.
_LOGS_EVERY = 5.0
#: How often containers are started while services that others depend on become healthy.
_ATTEMPTS = 10


def up(root: Path, *, build: bool = True, before: Callable[[Sequence[str]], None] | None = None) -> None:
    """Build the images, start all services, and wait until each is healthy, as long as something moves.

    Their status is shown on stderr.

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
    for attempt in range(_ATTEMPTS):
        if _started(root, is_last=attempt == _ATTEMPTS - 1):
            break
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
    _wait(root, {service})


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


def _started(root: Path, *, is_last: bool) -> bool:
    """Start all services; return whether none was left out, since one that it depends on is not healthy yet.

    Compose gives up as soon as a health check fails often enough, which on a slow machine happens to what only takes
    longer: such services are waited for here, as long as they get on.
    """
    try:
        pass_through(root, "up", "--detach", "--no-build")
    except ToolError as error:
        unwell = [service for service in services(root) if service.has_failed]
        if is_last or not unwell or any(service.has_ended for service in unwell):
            if not unwell:
                raise
            raise ToolError(_explanation(root, unwell)) from error
        _wait(root, {service.name for service in unwell})
        return False
    return True


def _wait(root: Path, only: Collection[str] = ()) -> None:
    """Wait until services are well, as long as they get on; what changes is shown on stderr."""
    modules = len(layout_of(root).in_module_folders())
    watch = Watch(patience_with(modules), time.monotonic())
    logs: dict[str, str] = {}
    logs_at = time.monotonic()
    reported: dict[str, str] = {}
    while True:
        statuses = [service for service in services(root) if not only or service.name in only]
        for service in statuses:
            if reported.get(service.name) != str(service):
                reported[service.name] = str(service)
                terminal.inform(f"  {service}")
        if all(service.is_well for service in statuses):
            return
        if time.monotonic() - logs_at > _LOGS_EVERY:
            logs = {service.name: _end_of_log(root, service) for service in statuses if not service.is_well}
            logs_at = time.monotonic()
        if watch.look(statuses, logs, time.monotonic()):
            raise ToolError(_explanation(root, statuses))
        time.sleep(_PAUSE)


def _end_of_log(root: Path, service: ServiceStatus) -> str:
    # With the times: a line may say the same again.
    return captured(root, "logs", "--timestamps", "--no-log-prefix", "--tail", "1", "--", service.name)


def _explanation(root: Path, statuses: Sequence[ServiceStatus]) -> str:
    unwell = [service for service in statuses if not service.is_well]
    lines = ["The workspace did not start."]
    for service in [service for service in unwell if service.has_failed] or unwell:
        log = captured(root, "logs", "--no-log-prefix", "--tail", _LOG_LINES, "--", service.name).strip()
        lines += [f"{service}; its log ends with:", *(f"    {line}" for line in log.splitlines())]
    return "\n".join(lines)
