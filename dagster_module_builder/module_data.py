"""What a module has stored: its volumes, its folders of data, its assets' files. Listed, and deleted when told so."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from dagster_module_builder import docker, settings
from dagster_module_builder.errors import RefusedError
from dagster_module_builder.formats import compose
from dagster_module_builder.integrate import bodies_of
from dagster_module_builder.transaction import locked
from dagster_module_builder.workspace import Workspace, read_workspace

#: The workspace's volume with all stored assets, a folder for each module.
STORAGE_VOLUME = "dagster_storage"


@dataclass(frozen=True)
class ModuleData:
    """What one module has stored.

    Attributes:
        project: The Compose project, whose label its containers and volumes carry.
        services: Its Compose services, which use the volumes.
        volumes: Names of its Docker volumes.
        assets: Names of shared volumes with stored assets of it, in a folder called ``marker``.
        marker: Its asset key prefix.
        folders: Its folders inside the workspace.
    """

    project: str
    services: tuple[str, ...]
    volumes: tuple[str, ...]
    assets: tuple[str, ...]
    marker: str
    folders: tuple[Path, ...]

    def describe(self) -> str:
        """List all of it, for a person to decide."""
        lines = [
            *(f"  the volume {name}" for name in self.volumes),
            *(f"  the folder {self.marker} in the volume {name}" for name in self.assets),
            *(f"  the folder {path}" for path in self.folders),
        ]
        return "\n".join(["The module's data:", *(lines or ["  none"])])


def data_of(root: Path, name: str) -> ModuleData:
    """Find what an integrated module has stored.

    Raises:
        RefusedError: It is not integrated.
        ToolError: Docker is installed but does not answer, so that its volumes cannot be seen.
    """
    with locked(root):
        workspace = read_workspace(root)
    entry = workspace.registry.find(Path(name).name)
    if entry is None:
        raise RefusedError(f"{name!r} is not integrated: see 'workspace.list'.")
    bodies = bodies_of(workspace, entry.marker)
    services = yaml.safe_load(b"\n".join(bodies.get((compose.NAME, ("services",)), ()))) or {}
    keys = list(yaml.safe_load(b"\n".join(bodies.get((compose.NAME, ("volumes",)), ()))) or {})
    project = workspace.own_env.get("COMPOSE_PROJECT_NAME", "")
    in_docker = bool(project) and shutil.which("docker") is not None
    return ModuleData(
        project,
        tuple(services),
        tuple(docker.volumes(project, keys)) if in_docker and keys else (),
        tuple(docker.volumes(project, [STORAGE_VOLUME])) if in_docker else (),
        entry.marker,
        tuple(_folders(workspace, entry.marker, services)),
    )


def _folders(workspace: Workspace, marker: str, services: dict[str, dict[str, object]]) -> Iterator[Path]:
    """Yield the module's folders inside the workspace: its stored assets, and what its services bind."""
    stored = workspace.root / settings.DATA / "storage" / marker
    if stored.is_dir():
        yield stored
    data = (workspace.root / settings.DATA).resolve()
    for service in services.values():
        for path in _bound(service, workspace.root / settings.SERVICES):
            if path.is_dir() and path != data and path.is_relative_to(data):
                yield path


def _bound(service: dict[str, object], folder: Path) -> Iterator[Path]:
    volumes = service.get("volumes")
    for volume in volumes if isinstance(volumes, Sequence) else ():
        source = volume.get("source") if isinstance(volume, dict) else str(volume).split(":")[0]
        if isinstance(source, str) and source.startswith((".", "/")):
            yield (folder / source).resolve()


def delete(data: ModuleData) -> list[str]:
    """Delete what a module has stored; return it as texts.

    Raises:
        ToolError: Docker did not delete a volume.
    """
    if data.volumes:
        docker.delete_containers(data.project, data.services)
        docker.delete_volumes(data.volumes)
    for volume in data.assets:
        docker.delete_folder(data.project, volume, data.marker)
    for folder in data.folders:
        shutil.rmtree(folder)
    return [
        *(f"the volume {name}" for name in data.volumes),
        *(f"the folder {data.marker} in the volume {name}" for name in data.assets),
        *(f"the folder {path}" for path in data.folders),
    ]
