"""Services of the Compose project that Dagster runs in: a module's database beside it."""

from __future__ import annotations

import json
import subprocess

from .client import tail
from .errors import RefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .host import Host

#: Seconds that a database may take to its first healthy answer; MySQL makes its files first.
STARTING = 300.0
#: Seconds that taking a start back may take, while nobody waits for the answer.
TAKING_BACK = 20.0


def project(folder: str, *command: str) -> list[str]:
    """Return a command line of Compose for the project in a folder."""
    return ["docker", "compose", "--project-directory", folder, *command]


def with_old(host: Host, services: dict[str, Any]) -> dict[str, Any]:
    """Note which of these services have a container already."""
    code, said = host.client.run(project(services["folder"], "ps", "--all", "--services"), limit=60, cwd=host.base)
    there = said.split() if not code else []
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


def drop_new(services: dict[str, Any]) -> None:
    """Take away the containers of services that were not there before; their volumes stay."""
    new = [one for one in services["names"] if one not in services["old"]]
    if new:
        quietly(project(services["folder"], "kill", *new), services["folder"])
        quietly(project(services["folder"], "rm", "--force", *new), services["folder"])


def start_old(services: dict[str, Any]) -> list[str]:
    """Have services that were there before as they were; return what a person has to look at."""
    if not services["old"]:
        return []
    command = project(services["folder"], "up", "--detach", "--no-deps", "--no-build", *services["old"])
    code, said = quietly(command, services["folder"])
    return [f"{', '.join(services['old'])} could not be started as before: {tail(said)}"] if code else []


def drop(host: Host, folder: str, names: Sequence[str]) -> None:
    """Take away the containers of services that the compose file has no more; their volumes stay."""
    for container in containers(host, folder, names):
        host.client.run(["docker", "rm", "--force", container], limit=60)


def containers(host: Host, folder: str, names: Sequence[str]) -> list[str]:
    """Return the containers of services, whether the compose file has them or not."""
    name = project_name(host, folder)
    labels = [["--filter", f"label=com.docker.compose.service={one}"] for one in names]
    command = ["docker", "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={name}"]
    return [one for label in labels for one in host.client.run([*command, *label], limit=60)[1].split()]


def project_name(host: Host, folder: str) -> str:
    """Return the name of the project in a folder."""
    code, said = host.client.run(project(folder, "config", "--format", "json"), limit=60, cwd=folder)
    if code:
        raise RefusedError("docker", f"Compose cannot read its project in {folder}: {tail(said)}")
    return str(json.loads(said[said.index("{") :])["name"])


def volume_names(host: Host, folder: str, volumes: Sequence[str]) -> list[str]:
    """Return the engine's names of a Compose project's volumes, those that are there."""
    labels = [f"label=com.docker.compose.project={project_name(host, folder)}", "label=com.docker.compose.volume="]
    command = ["docker", "volume", "ls", "--quiet", "--filter", labels[0], "--filter"]
    found = []
    for name in volumes:
        code, said = host.client.run([*command, labels[1] + name], limit=60)
        if code:
            raise RefusedError("docker", f"Docker does not tell which volumes there are: {tail(said)}")
        found += said.split()
    return found


def image_of(host: Host, folder: str, names: Sequence[str]) -> str | None:
    """Return the image of the first of these services that has a container; None where none has."""
    for container in containers(host, folder, names):
        code, said = host.client.run(["docker", "inspect", "--format", "{{.Image}}", container], limit=60)
        if not code:
            return said.strip()
    return None


def quietly(command: list[str], folder: str) -> tuple[int, str]:
    """Run a program whether or not the client is still there; return its exit code and what it said."""
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=TAKING_BACK, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stdout.decode("utf-8", "replace")
