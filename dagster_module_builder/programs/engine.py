"""The Docker Engine, by its command line: images, volumes and containers, whatever project made them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.programs import outside_programs

#: What somebody's shell may set for another project; a workspace's own stand in its env file.
_FOREIGN = {
    "COMPOSE_DISABLE_ENV_FILE",
    "COMPOSE_ENV_FILES",
    "COMPOSE_FILE",
    "COMPOSE_PATH_SEPARATOR",
    "COMPOSE_PROFILES",
    "COMPOSE_PROJECT_NAME",
}

#: What Docker's command line says where no engine lets it in.
_UNREACHABLE = ("connect to the docker daemon", "connect to the docker api")


class NoEngineError(ToolError):
    """No Docker Engine runs that the command line could ask."""


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables that Docker gets: ours without those of another project, and some more."""
    return {**{name: value for name, value in os.environ.items() if name not in _FOREIGN}, **(more or {})}


def not_answering(said: str) -> ToolError:
    """Say why no engine answers, and what to do, from Docker's own words."""
    if "permission denied" in said.lower():
        return ToolError(f"You may not use Docker: join the group 'docker' and log in again. Docker says:\n{said}")
    return NoEngineError(f"Docker does not answer: start it ('sudo systemctl start docker'). Docker says:\n{said}")


def failure(name: str, asked: outside_programs.Answer) -> ToolError:
    """Return the error of a command of Docker's that failed."""
    if any(words in asked.words.lower() for words in (*_UNREACHABLE, "permission denied")):
        return not_answering(asked.words)
    said = "\n".join(line for line in asked.words.splitlines() if "level=warning" not in line)
    return outside_programs.failure(name, outside_programs.ended(asked.status), said or asked.out)


def volumes(project: str, keys: Sequence[str]) -> list[str]:
    """Return the names of the volumes that Compose made for these keys of a project's file; needs a Docker Engine.

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
    """Return the folder that each container of a Compose project was started from, by the container's name.

    Two checkouts may have one project's name; Compose then takes the containers of one for the other's.
    """
    said = _docker(
        *("ps", "--all", "--filter", f"label=com.docker.compose.project={project}"),
        *("--format", '{{.Names}}\t{{.Label "com.docker.compose.project.working_dir"}}'),
    )
    return dict(line.split("\t", 1) for line in said.splitlines())


def project_of_network(name: str) -> str | None:
    """Return the Compose project that a network was made for; empty where none made it, None where there is none."""
    said = _docker(
        *("network", "ls", "--filter", f"name=^{name}$"), "--format", '{{.Label "com.docker.compose.project"}}'
    )
    return said.splitlines()[0].strip() if said else None


def image_size(image: str) -> int:
    """Return an image's size in bytes."""
    return int(_docker("image", "inspect", "--format", "{{.Size}}", image))


def has_image(name: str) -> bool:
    """Tell whether there is an image of this name."""
    return bool(_docker("image", "ls", "--quiet", name).strip())


def layers(image: str) -> list[tuple[str, int]]:
    """Return the instruction and the size in bytes of an image's layers, from the lowest up."""
    said = _docker("history", "--no-trunc", "--human=false", "--format", "{{json .}}", image)
    found = [json.loads(line) for line in said.splitlines()]
    return [(str(one["CreatedBy"]), int(one["Size"])) for one in reversed(found)]


def delete_containers(project: str, services: Sequence[str]) -> None:
    """Stop and remove the containers of these services of a project, whether its file still names them or not."""
    for service in services:
        found = _docker(
            *("ps", "--all", "--quiet"),
            *("--filter", f"label=com.docker.compose.project={project}"),
            *("--filter", f"label=com.docker.compose.service={service}"),
        ).split()
        if found:
            _docker("rm", "--force", *found)


def delete_volumes(names: Sequence[str]) -> None:
    """Remove volumes with all that is in them.

    Raises:
        ToolError: One is in use.
    """
    if names:
        _docker("volume", "rm", *names)


def volume_keys(project: str) -> list[str]:
    """Return the keys of all volumes that Compose made for a project, whether its file still has them or not.

    Raises:
        ToolError: Docker does not answer.
    """
    label = "com.docker.compose.volume"
    said = _docker(
        *("volume", "ls", "--filter", f"label=com.docker.compose.project={project}"),
        *("--format", f'{{{{.Label "{label}"}}}}'),
    )
    return said.split()


def folders_in(volume: str, images: Sequence[str]) -> list[str] | None:
    """Return the names at a volume's top; None where no image is there to look with.

    Args:
        volume: The volume.
        images: Images that have a shell's programs; the first that is there is taken.
    """
    image = next(filter(has_image, images), None)
    return None if image is None else _as_root(image, f"{volume}:/volume:ro", "ls", "-1", "/volume").splitlines()


def delete_in_volume(volume: str, folder: str, images: Sequence[str]) -> None:
    """Remove a folder within a volume, whoever owns it.

    Raises:
        ToolError: None of the images is there, or it could not be removed.
    """
    _as_root(_first(images), f"{volume}:/volume", "rm", "-rf", "--", f"/volume/{folder}")


def delete_on_disk(folder: Path, images: Sequence[str]) -> None:
    """Remove a folder of this machine, whoever owns what is in it.

    Raises:
        ToolError: None of the images is there, or it could not be removed.
    """
    mount = f"type=bind,source={folder.parent.resolve()},target=/beside"
    _as_root(_first(images), mount, "rm", "-rf", "--", f"/beside/{folder.name}")
    if folder.exists():
        raise ToolError(f"Docker does not run on this machine's files: {folder} is still there.")


def _first(images: Sequence[str]) -> str:
    image = next(filter(has_image, images), None)
    if image is None:
        raise ToolError("No image of the workspace is there: run 'workspace.up' first.")
    return image


def _as_root(image: str, mount: str, program: str, *arguments: str) -> str:
    """Run a program in a short-lived container, with no right but to read, write and delete what others own."""
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
