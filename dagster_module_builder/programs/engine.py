"""The Docker Engine through its command line: images, volumes and containers of any project."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.programs import outside_programs

#: Variables that the shell may set for another project; a workspace sets its own in its env file.
_FOREIGN = {
    "COMPOSE_DISABLE_ENV_FILE",
    "COMPOSE_ENV_FILES",
    "COMPOSE_FILE",
    "COMPOSE_PATH_SEPARATOR",
    "COMPOSE_PROFILES",
    "COMPOSE_PROJECT_NAME",
}

#: Errors of Docker's command line if it cannot connect.
_UNREACHABLE = ("connect to the docker daemon", "connect to the docker api")


class NoEngineError(ToolError):
    """No Docker Engine is running."""


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables for Docker: this process's without those of other projects, and some more."""
    return {**{name: value for name, value in os.environ.items() if name not in _FOREIGN}, **(more or {})}


def not_answering(message: str) -> ToolError:
    """Return the error of an engine that does not answer, with the cure, from Docker's message."""
    if "permission denied" in message.lower():
        return ToolError(f"You may not use Docker. Join the group 'docker', and log in again. Docker says:\n{message}")
    return NoEngineError(f"Docker does not answer. Start it: 'sudo systemctl start docker'. Docker says:\n{message}")


def failure(name: str, asked: outside_programs.Answer) -> ToolError:
    """Return the error of a failed command of Docker."""
    if any(words in asked.words.lower() for words in (*_UNREACHABLE, "permission denied")):
        return not_answering(asked.words)
    message = "\n".join(line for line in asked.words.splitlines() if "level=warning" not in line)
    return outside_programs.failure(name, outside_programs.ended(asked.status), message or asked.out)


def volumes(project: str, keys: Sequence[str]) -> list[str]:
    """Return the names of the volumes that Compose created for these keys of a project's file.

    Raises:
        ToolError: Docker does not answer.
    """
    return [
        name
        for key in keys
        for name in _docker(
            *("volume", "ls", "--quiet"),
            *("--filter", f"label=com.docker.compose.project={project}"),
            *("--filter", f"label=com.docker.compose.volume={key}"),
        ).split()
    ]


def folders_of_containers(project: str) -> dict[str, str]:
    """Return the folder from which each container of a Compose project was started, by container name.

    If two checkouts have the same project name, Compose mistakes the containers of one for those of the other.
    """
    lines = _docker(
        *("ps", "--all", "--filter", f"label=com.docker.compose.project={project}"),
        *("--format", '{{.Names}}\t{{.Label "com.docker.compose.project.working_dir"}}'),
    )
    return dict(line.split("\t", 1) for line in lines.splitlines())


def containers(project: str) -> list[tuple[str, str, list[str]]]:
    """Return the containers of a Compose project: name, service, and the compose files that it was started from.

    Those of single commands (``docker compose run``) are not among them.
    """
    labels = ('.Label "com.docker.compose.service"', '.Label "com.docker.compose.project.config_files"')
    lines = _docker(
        *("ps", "--all", "--filter", f"label=com.docker.compose.project={project}"),
        *("--filter", "label=com.docker.compose.oneoff=False"),
        *("--format", "\t".join(f"{{{{{field}}}}}" for field in (".Names", *labels))),
    )
    split = (line.split("\t") for line in lines.splitlines())
    return [(name, service, [file for file in files.split(",") if file]) for name, service, files in split]


def made_from(project: str) -> dict[str, tuple[str, str]]:
    """Return the digest of the definition and the image that Compose made each running service of a project from."""
    labels = ("service", "config-hash", "image")
    lines = _docker(
        *("ps", "--filter", f"label=com.docker.compose.project={project}"),
        *("--filter", "label=com.docker.compose.oneoff=False"),
        *("--format", "\t".join(f'{{{{.Label "com.docker.compose.{label}"}}}}' for label in labels)),
    )
    return {name: (digest, image) for name, digest, image in (line.split("\t") for line in lines.splitlines())}


def image_id(name: str) -> str:
    """Return an image's identity; empty without such an image."""
    try:
        return _docker("image", "inspect", "--format", "{{.Id}}", name).strip()
    except NoEngineError:
        raise
    except ToolError:
        return ""


def project_of_network(name: str) -> str | None:
    """Return the Compose project that created a network; "" if it was not Compose, None without such a network."""
    lines = _docker(
        *("network", "ls", "--filter", f"name=^{name}$"), "--format", '{{.Label "com.docker.compose.project"}}'
    )
    return lines.splitlines()[0].strip() if lines else None


def image_size(image: str) -> int:
    """Return an image's size in bytes."""
    return int(_docker("image", "inspect", "--format", "{{.Size}}", image))


def has_image(name: str) -> bool:
    """Return whether an image with this name exists."""
    return bool(_docker("image", "ls", "--quiet", name).strip())


def output_of(image: str, program: str, *arguments: str) -> str:
    """Return what a program of an image prints, in a temporary container without a network or rights.

    Raises:
        ToolError: The image has no such program, or it failed.
    """
    limits = ["--rm", "--network", "none", "--pull", "never", "--read-only", "--security-opt", "no-new-privileges"]
    return _docker("run", *limits, "--cap-drop", "ALL", "--entrypoint", program, image, *arguments)


def layers(image: str) -> list[tuple[str, int]]:
    """Return the instruction and the size in bytes of an image's layers, from the lowest to the highest."""
    lines = _docker("history", "--no-trunc", "--human=false", "--format", "{{json .}}", image)
    history = [json.loads(line) for line in lines.splitlines()]
    return [(str(layer["CreatedBy"]), int(layer["Size"])) for layer in reversed(history)]


def delete_containers(project: str, services: Sequence[str]) -> None:
    """Stop and remove the containers of these services of a project, even if its file no longer has them."""
    for service in services:
        containers = _docker(
            *("ps", "--all", "--quiet"),
            *("--filter", f"label=com.docker.compose.project={project}"),
            *("--filter", f"label=com.docker.compose.service={service}"),
        ).split()
        if containers:
            _docker("rm", "--force", *containers)


def delete_volumes(names: Sequence[str]) -> None:
    """Remove volumes and their data.

    Raises:
        ToolError: One is in use.
    """
    if names:
        _docker("volume", "rm", *names)


def volume_keys(project: str) -> list[str]:
    """Return the keys of all volumes that Compose created for a project, even if its file no longer has them.

    Raises:
        ToolError: Docker does not answer.
    """
    label = "com.docker.compose.volume"
    keys = _docker(
        *("volume", "ls", "--filter", f"label=com.docker.compose.project={project}"),
        *("--format", f'{{{{.Label "{label}"}}}}'),
    )
    return keys.split()


def folders_in(volume: str, images: Sequence[str]) -> list[str] | None:
    """Return the names at a volume's top; None without an image to look with.

    Args:
        volume: The volume.
        images: Images with basic programs (``ls``, ``rm``); the first that exists is used.
    """
    image = next(filter(has_image, images), None)
    return None if image is None else _as_root(image, f"{volume}:/volume:ro", "ls", "-1", "/volume").splitlines()


def delete_in_volume(volume: str, folder: str, images: Sequence[str]) -> None:
    """Remove a folder in a volume, whoever owns it.

    Raises:
        ToolError: None of the images exists, or the folder could not be removed.
    """
    _as_root(_first(images), f"{volume}:/volume", "rm", "-rf", "--", f"/volume/{folder}")


def delete_on_disk(folder: Path, images: Sequence[str]) -> None:
    """Remove a folder of this machine, whoever owns its files.

    Raises:
        ToolError: None of the images exists, or the folder could not be removed.
    """
    mount = f"type=bind,source={folder.parent.resolve()},target=/beside"
    _as_root(_first(images), mount, "rm", "-rf", "--", f"/beside/{folder.name}")
    if folder.exists():
        raise ToolError(f"{folder} still exists: Docker does not see this machine's files. Remove the folder by hand.")


def _first(images: Sequence[str]) -> str:
    image = next(filter(has_image, images), None)
    if image is None:
        raise ToolError("The workspace has no image. Run 'workspace.up' first.")
    return image


def _as_root(image: str, mount: str, program: str, *arguments: str) -> str:
    """Run a program in a temporary container that may only read, write and delete files of any owner."""
    how = "--mount" if mount.startswith("type=") else "--volume"
    rights = ["--user", "0:0", "--cap-drop", "ALL", "--cap-add", "DAC_OVERRIDE", "--cap-add", "FOWNER"]
    limits = ["--rm", "--network", "none", "--pull", "never", "--security-opt", "no-new-privileges"]
    return _docker("run", *limits, *rights, how, mount, "--entrypoint", program, image, *arguments)


def _docker(*arguments: str) -> str:
    name = f"docker {arguments[0]}"
    asked = outside_programs.ask(
        ["docker", *arguments], named=name, answers=outside_programs.ANY, environ=environment()
    )
    if asked.status:
        raise failure(name, asked)
    return asked.out.decode("utf-8", "replace")
