"""Services of the Compose project that Dagster runs in: a module's database beside it."""

from __future__ import annotations

import json
import re

from .client import tail
from .errors import RefusedError
from .outside import complaint_of, failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .host import Host

#: Seconds that a database may take to its first healthy answer; MySQL makes its files first.
STARTING = 300.0
#: Seconds that taking a start back may take, while nobody waits for the answer.
TAKING_BACK = 20.0
#: How Docker says that what it was asked about is not there; that its socket is not there is another matter.
ABSENT = re.compile(r"no such (?:object|container|image|volume)\b", re.IGNORECASE)


def project(folder: str, *command: str) -> list[str]:
    """Return a command line of Compose for the project in a folder."""
    return ["docker", "compose", "--project-directory", folder, *command]


def with_old(host: Host, services: dict[str, Any]) -> dict[str, Any]:
    """Note which of these services have a container already."""
    command = project(services["folder"], "ps", "--all", "--services")
    there = host.client.ask(command, code="docker", limit=60, cwd=host.base)[1].split()
    return {**services, "old": [one for one in [*services["names"], *services["gone"]] if one in there]}


def starting(folder: str, names: Sequence[str]) -> list[str]:
    """Return the command that starts services and waits until they are healthy."""
    return project(folder, "up", "--detach", "--wait", "--no-deps", "--no-build", *names)


def start(host: Host, services: dict[str, Any]) -> None:
    """Start services, or have those that changed started anew, and wait until they are healthy."""
    names = services["names"]
    if not names:
        return
    code, said = host.client.run(starting(services["folder"], names), limit=STARTING, cwd=services["folder"])
    if code:
        log = host.client.run(project(services["folder"], "logs", "--no-color", "--tail", "15", *names), limit=60)[1]
        raise RefusedError("docker", f"{', '.join(names)} does not become healthy: {tail(said)}\n{tail(log)}")


def drop_new(services: dict[str, Any]) -> list[str]:
    """Take away the containers of services that were not there before; return what a person has to look at.

    Their volumes stay.
    """
    new = [one for one in services["names"] if one not in services["old"]]
    if not new:
        return []
    folder = services["folder"]
    # One that does not run cannot be killed; whether it goes is what counts.
    complaint_of(project(folder, "kill", *new), TAKING_BACK, cwd=folder)
    complaint = complaint_of(project(folder, "rm", "--force", *new), TAKING_BACK, cwd=folder)
    return [f"{', '.join(new)} could not be taken away: {complaint}"] if complaint else []


def start_old(services: dict[str, Any]) -> list[str]:
    """Have services that were there before as they were; return what a person has to look at."""
    if not services["old"]:
        return []
    folder = services["folder"]
    command = project(folder, "up", "--detach", "--no-deps", "--no-build", *services["old"])
    complaint = complaint_of(command, TAKING_BACK, cwd=folder)
    return [f"{', '.join(services['old'])} could not be started as before: {complaint}"] if complaint else []


def drop(host: Host, folder: str, names: Sequence[str]) -> None:
    """Take away the containers of services that the compose file has no more; their volumes stay."""
    for container in containers(host, folder, names):
        host.client.ask(["docker", "rm", "--force", container], code="docker", limit=60)


def containers(host: Host, folder: str, names: Sequence[str]) -> list[str]:
    """Return the containers of services, whether the compose file has them or not."""
    name = project_name(host, folder)
    labels = [["--filter", f"label=com.docker.compose.service={one}"] for one in names]
    command = ["docker", "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={name}"]
    answers = [host.client.ask([*command, *label], code="docker", limit=60)[1] for label in labels]
    return [one for answer in answers for one in answer.split()]


def project_name(host: Host, folder: str) -> str:
    """Return the name of the project in a folder."""
    command = project(folder, "config", "--format", "json")
    return str(json.loads(host.client.ask(command, code="docker", limit=60, cwd=folder)[1])["name"])


def volume_names(host: Host, folder: str, volumes: Sequence[str]) -> list[str]:
    """Return the engine's names of a Compose project's volumes, those that are there."""
    labels = [f"label=com.docker.compose.project={project_name(host, folder)}", "label=com.docker.compose.volume="]
    command = ["docker", "volume", "ls", "--quiet", "--filter", labels[0], "--filter"]
    answers = [host.client.ask([*command, labels[1] + name], code="docker", limit=60)[1] for name in volumes]
    return [one for answer in answers for one in answer.split()]


def image_of(host: Host, folder: str, names: Sequence[str]) -> str | None:
    """Return the image of the first of these services that has a container; None where none has."""
    images = inspected(host, "container", "{{.Image}}", containers(host, folder, names))
    return images[0] if images else None


def inspected(host: Host, kind: str, shape: str, names: Sequence[str]) -> list[str]:
    """Return what Docker says of containers or images, a line each; those that are not there have none.

    Args:
        host: This one.
        kind: ``container`` or ``image``.
        shape: What is asked of each, as Docker's ``--format`` takes it.
        names: Which.
    """
    if not names:
        return []
    command = ["docker", kind, "inspect", "--format", shape, *names]
    status, said, words = host.client.outcome(command, None, 120)
    if status and not tells_absence(status, words):
        raise failed("docker", command, status, words or said)
    return [line.strip() for line in said.splitlines() if line.strip()]


def tells_absence(status: int, words: str) -> bool:
    """Tell whether Docker says that things are not there, and complains of nothing else."""
    return status == 1 and bool(words.strip()) and all(map(ABSENT.search, words.strip().splitlines()))
