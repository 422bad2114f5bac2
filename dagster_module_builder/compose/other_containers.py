"""Containers of the workspace's project that other compose files than the workspace's started: they are left alone."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.compose.compose_program import captured
from dagster_module_builder.compose.compose_project import project_of
from dagster_module_builder.compose.config import as_model
from dagster_module_builder.disclosure import terminal
from dagster_module_builder.programs import engine


@dataclass(frozen=True)
class Container:
    """A container of the project.

    Attributes:
        name: Its name.
        service: Its service.
        others: The files that it was started from and the workspace does not read, if they still exist.
    """

    name: str
    service: str
    others: tuple[Path, ...] = ()


def containers_of(root: Path, project: str) -> list[Container]:
    """Return the containers of a workspace's project.

    Raises:
        ToolError: Docker does not answer.
    """
    own = {path.resolve() for path in project_of(root).files}

    def others(files: Sequence[str]) -> tuple[Path, ...]:
        return tuple(path for path in map(Path, files) if path.resolve() not in own and path.is_file())

    return [Container(name, service, others(files)) for name, service, files in engine.containers(project)]


def refuse_other_files(root: Path, model: Mapping[str, Any]) -> None:
    """Refuse to start services again without a file that they were started with.

    Args:
        root: The workspace's root.
        model: The project as Compose understands it.

    Raises:
        RefusedError: A service of the workspace runs with another file.
    """
    services = model.get("services") or {}
    for container in containers_of(root, model["name"]):
        if container.service in services and container.others:
            folder, read = layout_of(root).project_folder, project_of(root).files
            names = [os.path.relpath(path, folder.resolve()) for path in (*read, *container.others)]
            raise RefusedError(
                f"{container.name} was started with {container.others[0]} as well, which the workspace does not read. "
                f"Nothing was started: it would run without that file's settings. "
                f"Set COMPOSE_FILE='{os.pathsep.join(names)}' in {layout_of(root).env_file}."
            )


def remove_orphans(root: Path, project: str) -> None:
    """Remove the containers of services that the workspace's files had before; those of other files stay.

    Raises:
        ToolError: Docker does not answer.
    """
    # Services of a profile that is not active are the workspace's, too.
    known = as_model(captured(root, "--profile", "*", "config", "--format", "json")).get("services") or {}
    orphans = [container for container in containers_of(root, project) if container.service not in known]
    for container in orphans:
        if container.others:
            terminal.inform(f"  {container.name} stays: {container.others[0]} has it")
    engine.delete_containers(project, [container.service for container in orphans if not container.others])
