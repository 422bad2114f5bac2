"""Services of the Compose project that Dagster runs in, such as a module's database."""

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

#: Seconds until a database must be healthy; MySQL first makes its files.
STARTING = 300.0
#: Seconds that undoing a start may take; no client waits for it.
UNDOING_START = 20.0
#: What Docker says about things that do not exist. A missing socket is another message.
ABSENT = re.compile(r"no such (?:object|container|image|volume)\b", re.IGNORECASE)


def project(folder: str, *command: str) -> list[str]:
    """Return a Compose command for the project in a folder."""
    return ["docker", "compose", "--project-directory", folder, *command]


def with_old(host: Host, services: dict[str, Any]) -> dict[str, Any]:
    """Return services with ``old``: the names of those that have a container already."""
    command = project(services["folder"], "ps", "--all", "--services")
    present = host.client.ask(command, code="docker", limit=60, cwd=host.base)[1].split()
    return {**services, "old": [name for name in [*services["names"], *services["gone"]] if name in present]}


def starting(folder: str, names: Sequence[str]) -> list[str]:
    """Return the command that starts services and waits until they are healthy."""
    return project(folder, "up", "--detach", "--wait", "--no-deps", "--no-build", *names)


def start(host: Host, services: dict[str, Any]) -> None:
    """Start services, recreate those that changed, and wait until they are healthy."""
    names = services["names"]
    if not names:
        return
    code, said = host.client.run(starting(services["folder"], names), limit=STARTING, cwd=services["folder"])
    if code:
        log = host.client.run(project(services["folder"], "logs", "--no-color", "--tail", "15", *names), limit=60)[1]
        raise RefusedError("docker", f"{', '.join(names)} did not become healthy: {tail(said)}\n{tail(log)}")


def drop_new(services: dict[str, Any]) -> list[str]:
    """Remove the containers of services that did not exist before; return problems for the user.

    Their volumes are kept.
    """
    new = [name for name in services["names"] if name not in services["old"]]
    if not new:
        return []
    folder = services["folder"]
    # A stopped one cannot be killed; only the removal has to succeed.
    complaint_of(project(folder, "kill", *new), UNDOING_START, cwd=folder)
    complaint = complaint_of(project(folder, "rm", "--force", *new), UNDOING_START, cwd=folder)
    return [f"{', '.join(new)} could not be removed: {complaint}"] if complaint else []


def start_old(services: dict[str, Any]) -> list[str]:
    """Start the services that existed before, as they were; return problems for the user."""
    if not services["old"]:
        return []
    folder = services["folder"]
    command = project(folder, "up", "--detach", "--no-deps", "--no-build", *services["old"])
    complaint = complaint_of(command, UNDOING_START, cwd=folder)
    return [f"{', '.join(services['old'])} could not be started as before: {complaint}"] if complaint else []


def drop(host: Host, folder: str, names: Sequence[str]) -> None:
    """Remove the containers of services that are gone from the compose file; their volumes are kept."""
    for container in containers(host, folder, names):
        host.client.ask(["docker", "rm", "--force", container], code="docker", limit=60)


def containers(host: Host, folder: str, names: Sequence[str]) -> list[str]:
    """Return the containers of services, whether or not the compose file still has them."""
    name = project_name(host, folder)
    labels = [["--filter", f"label=com.docker.compose.service={name}"] for name in names]
    command = ["docker", "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={name}"]
    answers = [host.client.ask([*command, *label], code="docker", limit=60)[1] for label in labels]
    return [container for answer in answers for container in answer.split()]


def project_name(host: Host, folder: str) -> str:
    """Return the name of the Compose project in a folder."""
    command = project(folder, "config", "--format", "json")
    return str(json.loads(host.client.ask(command, code="docker", limit=60, cwd=folder)[1])["name"])


def volume_names(host: Host, folder: str, volumes: Sequence[str]) -> list[str]:
    """Return the engine's names of a Compose project's volumes; missing volumes are left out."""
    labels = [f"label=com.docker.compose.project={project_name(host, folder)}", "label=com.docker.compose.volume="]
    command = ["docker", "volume", "ls", "--quiet", "--filter", labels[0], "--filter"]
    answers = [host.client.ask([*command, labels[1] + name], code="docker", limit=60)[1] for name in volumes]
    return [volume for answer in answers for volume in answer.split()]


def image_of(host: Host, folder: str, names: Sequence[str]) -> str | None:
    """Return the image of the first of these services that has a container; None if none has one."""
    images = inspected(host, "container", "{{.Image}}", containers(host, folder, names))
    return images[0] if images else None


def inspected(host: Host, kind: str, shape: str, names: Sequence[str]) -> list[str]:
    """Return a line from ``docker inspect`` for each container or image; missing ones are left out.

    Args:
        host: This host.
        kind: ``container`` or ``image``.
        shape: The template for Docker's ``--format``.
        names: The containers or images.
    """
    if not names:
        return []
    command = ["docker", kind, "inspect", "--format", shape, *names]
    status, said, words = host.client.outcome(command, None, 120)
    if status and not tells_absence(status, words):
        raise failed("docker", command, status, words or said)
    return [line.strip() for line in said.splitlines() if line.strip()]


def tells_absence(status: int, words: str) -> bool:
    """Tell whether Docker's only complaint is that things do not exist."""
    return status == 1 and bool(words.strip()) and all(map(ABSENT.search, words.strip().splitlines()))
