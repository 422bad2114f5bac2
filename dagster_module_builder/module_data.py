"""What a module has stored: its volumes, its folders of data, its assets' files. Listed, and deleted when told so."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from dagster_module_builder import engine, settings
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
    services = _services_of(workspace, entry.marker)
    keys = list(yaml.safe_load(b"\n".join(_bodies(workspace, entry.marker, "volumes"))) or {})
    project = workspace.own_env.get("COMPOSE_PROJECT_NAME", "")
    in_docker = bool(project) and shutil.which("docker") is not None
    return ModuleData(
        project,
        tuple(services),
        tuple(engine.volumes(project, keys)) if in_docker and keys else (),
        tuple(engine.volumes(project, [STORAGE_VOLUME])) if in_docker else (),
        entry.marker,
        tuple(_folders(workspace, entry.marker, services)),
    )


def _bodies(workspace: Workspace, marker: str, section: str) -> Iterable[bytes]:
    return bodies_of(workspace, marker).get((compose.NAME, (section,)), ())


def _services_of(workspace: Workspace, marker: str) -> dict[str, dict[str, object]]:
    return yaml.safe_load(b"\n".join(_bodies(workspace, marker, "services"))) or {}


def _folders(workspace: Workspace, marker: str, services: dict[str, dict[str, object]]) -> Iterator[Path]:
    """Yield the module's folders inside the workspace: its stored assets, and what its services alone may write."""
    stored = workspace.root / settings.DATA / "storage" / marker
    if stored.is_dir():
        yield stored
    others = [one for entry in workspace.registry.entries if entry.marker != marker
              for one in _bound(workspace, _services_of(workspace, entry.marker))]  # fmt: skip
    own = {str(name): dict(service.data) for name, service in workspace.stack.services.items()}
    kept = {*_structure(workspace.root), *others, *_bound(workspace, own)}
    for path in dict.fromkeys(_bound(workspace, services)):
        inside = path.is_dir() and path.is_relative_to(workspace.root.resolve()) and path != stored.resolve()
        if inside and not any(path == one or one.is_relative_to(path) for one in kept):
            yield path


def _structure(root: Path) -> Iterator[Path]:
    """Yield the workspace's own folders and those of its projects, which are nobody's data."""
    for path in (settings.REGISTRY, settings.SERVICES, settings.DATA, settings.PROJECTS):
        yield (root / path).resolve()
    for project in (root / settings.PROJECTS).iterdir():
        yield (project / settings.FRAGMENTS).resolve()


def _bound(workspace: Workspace, services: Mapping[str, Mapping[str, object]]) -> Iterator[Path]:
    """Yield the folders of this machine that services may write into."""
    for service in services.values():
        volumes = service.get("volumes")
        for volume in volumes if isinstance(volumes, list) else ():
            source, _, rest = (
                (volume.get("source"), "", "ro" if volume.get("read_only") else "")
                if isinstance(volume, dict)
                else str(volume).partition(":")
            )
            if isinstance(source, str) and source.startswith((".", "/")) and not rest.endswith("ro"):
                yield (workspace.root / settings.SERVICES / source).resolve()


def delete(data: ModuleData) -> list[str]:
    """Delete what a module has stored; return it as texts.

    Raises:
        ToolError: Docker did not delete a volume.
    """
    if data.volumes:
        engine.delete_containers(data.project, data.services)
        engine.delete_volumes(data.volumes)
    for volume in data.assets:
        engine.delete_folder(data.project, volume, data.marker)
    for folder in data.folders:
        shutil.rmtree(folder)
    return [
        *(f"the volume {name}" for name in data.volumes),
        *(f"the folder {data.marker} in the volume {name}" for name in data.assets),
        *(f"the folder {path}" for path in data.folders),
    ]
