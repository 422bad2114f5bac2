"""The workspace in containers, by Docker Compose 2: `docker compose`, or `docker-compose` where only that is there."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.compose.compose_project import project_in
from dagster_module_builder.disclosure import terminal
from dagster_module_builder.disclosure.messages import remember_texts
from dagster_module_builder.programs import engine, outside_programs, strangers
from dagster_module_builder.programs.compose_command import program
from dagster_module_builder.shown_files.files import hidden_texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: Seconds until every service has to be well; the first start of a database on a slow disk takes a minute.
PATIENCE = 300.0
_PAUSE = 1.0
_LOG_LINES = "20"


@dataclass(frozen=True)
class Service:
    """One service's container, as Compose sees it.

    Attributes:
        name: The service's name.
        state: What the engine says of the container.
        health: Empty where nothing checks it.
        exit_code: What it ended with, or 0.
        ports: The ports of this machine that it publishes.
    """

    name: str
    state: str
    health: str
    exit_code: int
    ports: tuple[int, ...] = ()

    @property
    def is_well(self) -> bool:
        """Whether it runs and is healthy, or has done its one task."""
        done = self.state == "exited" and self.exit_code == 0
        return done or (self.state == "running" and self.health in {"", "healthy"})

    @property
    def has_failed(self) -> bool:
        """Whether waiting longer is in vain."""
        return self.health == "unhealthy" or self.state == "dead" or (self.state == "exited" and self.exit_code != 0)

    def __str__(self) -> str:
        """Say how it is."""
        if self.state == "exited":
            return f"{self.name}: {'done' if self.exit_code == 0 else f'ended with code {self.exit_code}'}"
        return f"{self.name}: {self.health or self.state}"


class NotAcceptedError(ToolError):
    """Compose does not accept a file."""


def check_config(services: Path, compose: bytes, env: bytes) -> dict[str, Any]:
    """Let Compose check a compose file that is not written yet, with all that 'up' puts on top of it.

    Needs no daemon.

    Args:
        services: The folder that the file is for (``services/dagster``).
        compose: The file's content.
        env: The content of its ``.env``; where empty, the one that is there counts.

    Returns:
        The whole project as Compose understands it.

    Raises:
        RefusedError: Compose would not read that file.
        NotAcceptedError: Compose does not accept it; with its own words.
        ToolError: Compose failed, so that this cannot be told.
    """
    project = project_in(services, env or None)
    with tempfile.TemporaryDirectory() as private:
        planned, variables = Path(private) / "docker-compose.yml", Path(private) / ".env"
        planned.write_bytes(compose)
        given = ["--env-file", str(variables)] if env else []
        if env:
            # The folder is nobody else's (tempfile.mkdtemp), the file neither.
            variables.touch(mode=0o600)
            variables.write_bytes(env)
        asked = outside_programs.ask(
            [*program(), *project.arguments(planned), *given, "config", "--format", "json"],
            named="docker compose config",
            answers=outside_programs.ANY,
            folder=services,
            environ=project.environment,
        )
    if asked.status:
        remember_texts(hidden_texts(project.main.name, compose))
        said = _without_warnings(asked.words) or outside_programs.ended(asked.status)
        raise NotAcceptedError(said.replace(str(planned), str(project.main)))
    model: dict[str, Any] = json.loads(asked.out)
    return model


def up(root: Path, *, build: bool = True) -> None:
    """Build the images, start all services and wait until each is well; says on stderr how they are.

    Args:
        root: The workspace's root.
        build: Build first. What did not change is taken from the builder's cache.

    Raises:
        ToolError: Docker is not there, or a service did not start; with the last lines of its log.
    """
    need_daemon(root)
    strangers.refuse_strangers(root, _entries(root))
    strangers.refuse_foreign_networks(root, _model(root))
    if build:
        _pass_through(root, "build")
    with _explaining(root):
        _pass_through(root, "up", "--detach", "--remove-orphans", "--no-build")
    _wait(root)


def down(root: Path, *, volumes: bool = False) -> None:
    """Stop and remove all containers, and the volumes with all data only if told so.

    Raises:
        ToolError: Docker is not there, or failed.
    """
    need_daemon(root)
    strangers.refuse_strangers(root, _entries(root))
    _pass_through(root, "down", "--remove-orphans", *(["--volumes"] if volumes else []))


def logs(root: Path, *, follow: bool = False, service: str | None = None) -> None:
    """Print the containers' logs on stdout; with ``follow`` until interrupted.

    Raises:
        ToolError: Docker is not there, or there is no such service.
    """
    need_daemon(root)
    arguments = ["logs", *(["--follow"] if follow else []), *(["--", service] if service else [])]
    # Ctrl-C is how following ends.
    with contextlib.suppress(KeyboardInterrupt):
        _pass_through(root, *arguments, out=lambda line: terminal.write(sys.stdout, line))


def restart(root: Path, service: str) -> None:
    """Restart one service and wait until it is well.

    Raises:
        ToolError: Docker is not there, or it did not start again.
    """
    _pass_through(root, "restart", "--no-deps", service)
    _wait(root, only=service)


def services(root: Path) -> list[Service]:
    """Return the containers of the workspace, running or not; not those of another folder's project of this name.

    Raises:
        ToolError: Docker is not there, or failed.
    """
    entries = _entries(root)
    strange = strangers.strange_folders(root, entries)
    found = [entry for entry in entries if entry["Name"] not in strange]
    return sorted((_service(entry) for entry in found), key=lambda service: service.name)


def _entries(root: Path) -> list[dict[str, Any]]:
    text = _captured(root, "ps", "--all", "--format", "json").strip()
    # A list in older versions of Compose 2, an object a line in newer ones.
    return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]


def _service(entry: Mapping[str, Any]) -> Service:
    ports = {int(one.get("PublishedPort") or 0) for one in entry.get("Publishers") or ()} - {0}
    return Service(
        str(entry["Service"]),
        str(entry["State"]),
        str(entry.get("Health", "")),
        int(entry.get("ExitCode", 0)),
        tuple(sorted(ports)),
    )


def need_daemon(root: Path) -> None:
    """Make sure that a Docker Engine answers.

    Raises:
        ToolError: It does not; says what to do.
    """
    command = [*program(), "ls", "--quiet"]
    asked = outside_programs.ask(
        command, named="docker compose", answers=outside_programs.ANY, folder=root, environ=engine.environment()
    )
    if asked.status:
        raise engine.failure("docker compose ls", asked)


def _wait(root: Path, only: str | None = None) -> None:
    end = time.monotonic() + PATIENCE
    shown: dict[str, str] = {}
    while True:
        found = [service for service in services(root) if only in {None, service.name}]
        for service in found:
            if shown.get(service.name) != str(service):
                shown[service.name] = str(service)
                terminal.tell(f"  {service}")
        if all(service.is_well for service in found):
            return
        if any(service.has_failed for service in found) or time.monotonic() > end:
            raise ToolError(_explanation(root, found))
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


def _explanation(root: Path, found: Sequence[Service]) -> str:
    unwell = [service for service in found if not service.is_well]
    lines = ["The workspace did not start."]
    for service in [service for service in unwell if service.has_failed] or unwell:
        log = _captured(root, "logs", "--no-log-prefix", "--tail", _LOG_LINES, "--", service.name).strip()
        lines += [f"{service}; its log ends with:", *(f"    {line}" for line in log.splitlines())]
    return "\n".join(lines)


def _captured(root: Path, *arguments: str) -> str:
    project, name = project_in(root / settings.SERVICES), f"{' '.join(program())} {arguments[0]}"
    asked = outside_programs.ask(
        [*program(), *project.arguments(), *arguments],
        named=name,
        answers=outside_programs.ANY,
        folder=project.folder,
        environ=project.environment,
    )
    if asked.status:
        raise engine.failure(name, asked)
    return asked.out.decode("utf-8", "replace")


def _tell(line: str) -> bool:
    terminal.tell(line)
    # Who stops reading does not stop the work.
    return True


def _pass_through(root: Path, *arguments: str, out: Callable[[str], bool] = _tell) -> None:
    """Run Compose where a person reads along; what it says belongs to stderr unless it is the result.

    Its words are those of builds and containers, too: they are shown as all that comes from elsewhere.
    """
    project = project_in(root / settings.SERVICES)
    outside_programs.relay(
        [*program(), *project.arguments(), *arguments],
        out,
        _tell,
        named=f"{' '.join(program())} {arguments[0]}",
        folder=project.folder,
        environ=project.environment,
    )


def _without_warnings(said: str) -> str:
    return "\n".join(line for line in said.strip().splitlines() if "level=warning" not in line)


def _model(root: Path) -> dict[str, Any]:
    """Return the whole project as Compose understands it."""
    model: dict[str, Any] = json.loads(_captured(root, "config", "--format", "json"))
    return model


def bind_mounts(root: Path) -> dict[str, list[Path]]:
    """Return the folders of this machine that each service of the project sees."""
    services = _model(root).get("services", {})
    return {
        name: [Path(mount["source"]) for mount in service.get("volumes") or () if mount.get("type") == "bind"]
        for name, service in services.items()
    }


def built_images(root: Path) -> list[str]:
    """Return the names of the images that a workspace builds and has.

    Raises:
        ToolError: Docker does not answer.
    """
    services = _model(root).get("services", {}).values()
    named = {str(service.get("image") or "") for service in services if "build" in service}
    return sorted(name for name in named if name and engine.has_image(name))
