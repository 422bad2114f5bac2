"""What modules have stored: volumes, folders of data, assets' files; listed, and deleted on request."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import RefusedError, ToolError
from dagster_module_builder.base.layout import WorkspaceLayout, layout_of
from dagster_module_builder.base.names import ModuleNames, folded, problem_with_name
from dagster_module_builder.claims.stores import STORAGE, STORAGE_VOLUME, Stores, bound, stores_of, usual
from dagster_module_builder.programs import engine
from dagster_module_builder.transactions.lock import locked
from dagster_module_builder.transactions.registry import ModuleEntry
from dagster_module_builder.workspaces import left_behind
from dagster_module_builder.workspaces.workspace import Workspace, look_at, read_workspace

_DATABASE_VOLUME = "_db_data"


@dataclass(frozen=True)
class ModuleData:
    """What one module has stored.

    Attributes:
        module: The module's name.
        integrated: Whether it is in the workspace.
        project: The Compose project, whose label its containers and volumes carry.
        services: Its Compose services, which use the volumes.
        volumes: Names of its Docker volumes.
        assets: Names of shared volumes with stored assets of it, in a folder called ``marker``.
        marker: Its asset key prefix.
        folders: Its folders inside the workspace.
        left: What is not deleted, and why, for people.
        images: Images of the workspace, in one of which files of other users can be deleted.
    """

    module: str
    integrated: bool
    project: str
    services: tuple[str, ...]
    volumes: tuple[str, ...]
    assets: tuple[str, ...]
    marker: str
    folders: tuple[Path, ...]
    left: tuple[str, ...] = ()
    images: tuple[str, ...] = ()

    def parts(self) -> list[str]:
        """Return each part in words."""
        return [
            *(f"the folder {path}" for path in self.folders),
            *(f"the folder {self.marker} in the volume {name}" for name in self.assets),
            *(f"the volume {name}" for name in self.volumes),
        ]

    def describe(self) -> str:
        """List all parts, for a person to decide."""
        lines = [f"  {part}" for part in self.parts()]
        left = [f"Not deleted: {kept}" for kept in self.left]
        return "\n".join(["The module's data:", *(lines or ["  none"]), *left])


def data_of(root: Path, name: str) -> ModuleData:
    """Find what a module has stored, whether it is in the workspace or was removed.

    Raises:
        RefusedError: There is no such module, and no data of that name.
        ToolError: The module has volumes, and Docker does not answer.
    """
    workspace = look_at(root)
    name = Path(name).name
    # No other spelling: what is deleted cannot be added again.
    entry = workspace.registry.find(name)
    marker = entry.marker if entry else _free_marker(workspace, name)
    data = _data_of(workspace, _stores(workspace), name, marker, entry)
    if entry is None and marker not in workspace.registry.left_behind and not data.parts():
        raise RefusedError(
            f"{name!r} is not in the workspace and has no data left. 'workspace.list --data' shows what is."
        )
    return data


def every_data(root: Path) -> list[ModuleData]:
    """Return what each module has stored, removed ones included; modules without data are left out.

    Raises:
        ToolError: A module has volumes, and Docker does not answer.
    """
    workspace = look_at(root)
    integrated = {entry.marker: entry for entry in workspace.registry.entries}
    markers = sorted({*integrated, *workspace.registry.left_behind, *_stored_markers(workspace)})
    stores_by_marker = _stores(workspace)
    names = {folded(path.name): path.name for path in layout_of(root).in_module_folders()}
    every = [
        _data_of(workspace, stores_by_marker, entry.name if entry else names.get(folded(marker), marker), marker, entry)
        for marker in markers
        for entry in [integrated.get(marker)]
    ]
    return [data for data in every if data.parts()]


def _stored_markers(workspace: Workspace) -> Iterator[str]:
    """Yield the markers of stored assets and databases, also of modules that no other record names."""
    stored = workspace.root / STORAGE
    yield from (path.name for path in stored.iterdir() if not _is_odd(path)) if stored.is_dir() else ()
    project = _project(workspace)
    try:
        keys = engine.volume_keys(project) if project else []
    except ToolError:
        return
    yield from (key.removesuffix(_DATABASE_VOLUME) for key in keys if key.endswith(_DATABASE_VOLUME))
    for volume in engine.volumes(project, [STORAGE_VOLUME]) if project else ():
        folders = engine.folders_in(volume, _images(workspace))
        yield from (name for name in folders or () if problem_with_name(name) is None)


def _is_odd(path: Path) -> bool:
    return path.is_symlink() or not path.is_dir() or problem_with_name(path.name) is not None


def _free_marker(workspace: Workspace, name: str) -> str:
    """Return the marker of a module that is not in the workspace.

    Raises:
        RefusedError: No module can have this name, or its marker is another module's.
    """
    marker = ModuleNames(name).snake
    other = next((entry.name for entry in workspace.registry.entries if entry.marker == marker), None)
    if other:
        raise RefusedError(f"{name!r} is not in the workspace. Did you mean {other!r}?")
    if problem_with_name(name) is not None and marker not in workspace.registry.left_behind:
        raise RefusedError(f"{name!r} is not in the workspace. 'workspace.list' shows what is.")
    return marker


def _stores(workspace: Workspace) -> dict[str, Stores]:
    """Return what each module's blocks say that it stores, by marker."""
    return {marker: stores_of(bodies, workspace.root) for marker, bodies in workspace.bodies.items()}


def _data_of(
    workspace: Workspace, stores_by_marker: Mapping[str, Stores], name: str, marker: str, entry: ModuleEntry | None
) -> ModuleData:
    module = entry.path if entry else _usual_path(workspace, name)
    known = stores_by_marker.get(marker, Stores()) | workspace.registry.left_behind.get(marker, Stores())
    stores = known | usual(marker)
    folders = {path: _reason_to_keep(workspace, stores_by_marker, path, marker, module) for path in stores.folders}
    doomed = tuple(workspace.root / path for path, reason in folders.items() if reason is None)
    left = [f"{workspace.root / path}, {reason}" for path, reason in folders.items() if reason]
    taken = _volumes_of_others(workspace, stores_by_marker, marker)
    keys = [key for key in stores.volumes if key not in taken]
    project = _project(workspace)
    try:
        volumes = engine.volumes(project, keys) if project else []
        assets = engine.volumes(project, [STORAGE_VOLUME]) if project else []
    except ToolError as error:
        if set(known.volumes) & set(keys):
            raise
        volumes, assets = [], []
        left.append(f"what it stored in containers, if anything. {error}")
    images = _images(workspace)
    with_assets = [volume for volume in assets if marker in (engine.folders_in(volume, images) or (marker,))]
    return ModuleData(
        name, entry is not None, project, stores.services, tuple(volumes), tuple(with_assets), marker, doomed,
        tuple(left), images,
    )  # fmt: skip


def _project(workspace: Workspace) -> str:
    """Return the Compose project's name; empty where there can be no containers."""
    return workspace.own_env.get("COMPOSE_PROJECT_NAME", "") if shutil.which("docker") else ""


def _images(workspace: Workspace) -> tuple[str, ...]:
    """Return the workspace's own images, the one with its code first."""
    project = _project(workspace)
    services = workspace.stack.services.values()
    return (f"{project}-dagster", *(str(service.data["image"]) for service in services if service.data.get("image")))


def _volumes_of_others(workspace: Workspace, stores_by_marker: Mapping[str, Stores], marker: str) -> set[str]:
    others = [entry.marker for entry in workspace.registry.entries if entry.marker != marker]
    remembered = {other: stores for other, stores in workspace.registry.left_behind.items() if other != marker}
    own = workspace.compose_data.get("volumes") if isinstance(workspace.compose_data, dict) else None
    return {
        *(own or {}),
        *(key for stores in remembered.values() for key in stores.volumes),
        *(key for other in others for key in stores_by_marker.get(other, Stores()).volumes),
    }


def _reason_to_keep(
    workspace: Workspace, stores_by_marker: Mapping[str, Stores], folder: str, marker: str, module: str
) -> str | None:
    """Return why a folder is kept; None if it is to be deleted, and an empty text if it does not exist.

    Args:
        workspace: The workspace.
        stores_by_marker: What each module's blocks say that it stores, by marker.
        folder: Relative to its root.
        marker: The module's marker.
        module: The module's folder, relative to the workspace's root.
    """
    path = workspace.root / folder
    if not os.path.lexists(path) or not Stores(folders=(folder,)).owned(marker, module).folders:
        outside = os.path.lexists(path) and path.is_dir() and not _is_structure(workspace.layout, folder)
        return f"which is not below {settings.DATA}/" if outside else ""
    if _link_in(workspace.root, folder):
        return "because a link leads there"
    if not path.is_dir():
        return ""
    used = _shared_with(workspace, stores_by_marker, folder, marker)
    return f"which {used} writes to, too" if used else None


def _usual_path(workspace: Workspace, name: str) -> str:
    """Return where a module that was removed is, or was: relative to the root."""
    paths = [path for path in workspace.layout.in_module_folders() if path.name == name]
    return (paths[0].relative_to(workspace.root) if len(paths) == 1 else settings.PROJECTS / name).as_posix()


def _is_structure(layout: WorkspaceLayout, folder: str) -> bool:
    """Tell whether a folder is one that the workspace itself is made of."""
    top = Path(folder).parts[:1]
    if any((layout.root / folder).is_relative_to(each) for each in layout.module_folders):
        return True
    return not top or top[0] in {settings.SERVICES.parts[0], settings.PROJECTS.name, settings.DATA.name}


def _link_in(root: Path, folder: str) -> bool:
    """Tell whether a part of a path below ``data/`` is a link; ``data/`` itself may be one."""
    parts = Path(folder).parts
    paths = [root.joinpath(*parts[:count]) for count in range(1, len(parts) + 1)]
    return any(path.is_symlink() for path in paths if path != layout_of(root).data)


def _shared_with(workspace: Workspace, stores_by_marker: Mapping[str, Stores], folder: str, marker: str) -> str | None:
    """Return which other module writes to a folder, or to one in it."""
    path = Path(folder)
    users: dict[str, Sequence[str]] = {
        entry.name: stores_by_marker.get(entry.marker, Stores()).folders
        for entry in workspace.registry.entries
        if entry.marker != marker
    }
    users |= {other: stores.folders for other, stores in workspace.registry.left_behind.items() if other != marker}
    own: Mapping[str, Mapping[str, object]] = {
        str(name): dict(service.data) for name, service in workspace.stack.services.items()
    }
    users["the workspace"] = tuple(bound(own, workspace.root))
    return next(
        (user for user, folders in users.items() if any(Path(used).is_relative_to(path) for used in folders)), None
    )


def delete(root: Path, data: ModuleData) -> Iterator[str]:
    """Delete what a removed module has stored; yield the name of each part when it is gone.

    After an interruption it can be run again: what is gone is skipped, and what is left is remembered.

    Raises:
        RefusedError: The module was added again meanwhile.
        ToolError: Something could not be deleted.
    """
    with locked(root):
        workspace = read_workspace(root)
        if any(entry.marker == data.marker for entry in workspace.registry.entries):
            raise RefusedError(f"{data.module!r} is in the workspace again, so its data was kept.")
        if data.volumes:
            engine.delete_containers(data.project, data.services)
        for folder in data.folders:
            _delete_folder(root, folder, data.images if data.project else ())
            yield f"the folder {folder}"
        for volume in data.assets:
            engine.delete_in_volume(volume, data.marker, data.images)
            yield f"the folder {data.marker} in the volume {volume}"
        for volume in data.volumes:
            engine.delete_volumes([volume])
            yield f"the volume {volume}"
        left_behind.forget(workspace, data.marker)


def _delete_folder(root: Path, folder: Path, images: Sequence[str]) -> None:
    """Delete a folder, also files in it of other users: containers write as the user that the workspace sets."""
    if _link_in(root, os.path.relpath(folder, root)):
        raise RefusedError(f"{folder} was not deleted: a link leads there now.")
    try:
        _make_writable(folder)
        shutil.rmtree(folder)
    except PermissionError as error:
        try:
            engine.delete_on_disk(folder, images)
        except ToolError as refusal:
            raise ToolError(
                f"{error.filename or folder} belongs to another user, and could not be deleted in a container: "
                f"{refusal}\nDelete it with 'sudo rm -rf {folder}', then run the same command again."
            ) from None


def _make_writable(folder: Path) -> None:
    """Allow deletion in read-only folders that belong to this user."""
    for path, _, _ in os.walk(folder):
        mode = Path(path).stat().st_mode
        if Path(path).stat().st_uid == os.geteuid() and not mode & stat.S_IWUSR:
            Path(path).chmod(stat.S_IMODE(mode) | stat.S_IRWXU)
