"""Code locations of the owner's, in a workspace that was adopted: where their code is on this machine.

Paths in a workspace file are those of containers if containers read it. The survey of the repository says which folder
a mount shows there, or an image has a copy of.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from dagster_module_builder.adoption.model import Location, Survey, Target
from dagster_module_builder.adoption.repository import Repository
from dagster_module_builder.adoption.survey import survey
from dagster_module_builder.adoption.targets import targets_of_project
from dagster_module_builder.base.layout import WorkspaceLayout
from dagster_module_builder.claims.facts import location_names
from dagster_module_builder.compose.compose_project import project_of
from dagster_module_builder.modules.code_location import pyproject, table

_STATING = ("setup.py", "setup.cfg", "requirements.txt")
_NAMED = {"python_file": "relative_path", "python_module": "module_name", "python_package": "package_name"}
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True)
class OwnerCode:
    """A code location of the owner's.

    Attributes:
        entry: Its entry for native processes; None if the workspace file's serves there, or none can.
        project: The project whose requirements it needs.
        left_out: Why it cannot be loaded on this machine; empty if it can.
    """

    entry: Mapping[str, Any] | None = None
    project: Path | None = None
    left_out: str = ""


def on_this_machine(layout: WorkspaceLayout, entry: Mapping[str, Any]) -> OwnerCode:
    """Return what an entry of the workspace file is on this machine."""
    kind, details = next(iter(entry.items()))
    options = details if isinstance(details, dict) else {}
    if kind == "grpc_server" and (not options.get("host") or options["host"] in _THIS_MACHINE):
        return OwnerCode()
    found = _surveyed(layout)
    location = next((each for each in found.locations if each.name == location_names([entry])[0]), None)
    if layout.has_compose:
        return _from_containers(found, location, kind, details)
    native = _from(layout.dagster_folder, kind, options or details)
    folder = layout.root / location.folder if location and location.folder else None
    return OwnerCode(native, project_around(layout.root, folder) if folder else None)


def _from(folder: Path, kind: str, details: Any) -> Mapping[str, Any]:
    """Return an entry that holds wherever Dagster starts, given the folder that it starts in."""
    key = _NAMED.get(kind)
    if key is None:
        return {kind: details}
    options = dict(details) if isinstance(details, dict) else {key: details}
    for name in ("working_directory", "executable_path"):
        stated = options.get(name, "." if name == "working_directory" and kind != "python_file" else None)
        if stated is not None and (name == "working_directory" or "/" in str(stated)):
            options[name] = os.path.normpath(folder / str(stated))
    return {kind: options}


def _surveyed(layout: WorkspaceLayout) -> Survey:
    root = Path(os.path.normpath(layout.root.absolute()))
    return _survey(root, layout.workspace_file.relative_to(layout.root), layout.workspace_file.read_bytes())


@lru_cache(maxsize=4)
def _survey(root: Path, workspace_file: Path, _text: bytes) -> Survey:
    from dagster_module_builder.base.layout import layout_of

    if not layout_of(root).has_compose:
        return survey(root, (), workspace_file)
    return survey(root, [path.relative_to(root) for path in project_of(root).found], workspace_file)


def _from_containers(found: Survey, location: Location | None, kind: str, details: Any) -> OwnerCode:
    if location is None or location.folder is None:
        server = f" of {location.server}" if location and location.server else ""
        why = f"neither a mount nor a Dockerfile{server} shows a folder of this repository with its code"
        return OwnerCode(left_out=why)
    target = _served(found, location) if kind == "grpc_server" else _stated(kind, details)
    if target is None:
        return OwnerCode(left_out=f"it cannot be told what {location.server} serves")
    folder = found.repository / location.folder
    native = _entry(location.name, target, folder)
    return OwnerCode(native, project_around(found.repository, folder))


def _served(found: Survey, location: Location) -> Target | None:
    service = next((each for each in found.services if each.name == location.server), None)
    return service.targets[0] if service and service.targets else None


def _stated(kind: str, details: Any) -> Target:
    options = details if isinstance(details, dict) else {}
    attribute = options.get("attribute")
    if kind == "python_file":
        return Target("file", str(options.get("relative_path", details)), attribute)
    value = options.get("module_name") or options.get("package_name") or details
    return Target("package" if kind == "python_package" else "module", str(value), attribute)


def _entry(name: str, target: Target, folder: Path) -> Mapping[str, Any]:
    more = {"location_name": name, **({"attribute": target.attribute} if target.attribute else {})}
    if target.kind == "file":
        # Without a stated folder, imports start from the workspace file's, as relative paths do.
        stated = Path(target.value)
        depth = 0 if stated.is_absolute() or ".." in stated.parts else len(stated.parts) - 1
        start = folder.parents[depth - 1] if depth else folder
        paths = {"relative_path": str(folder / stated.name), "working_directory": str(start)}
        return {"python_file": {**paths, **more}}
    source = {"working_directory": str(_start(target.value.split("."), folder)), **more}
    if target.kind == "package":
        return {"python_package": {"package_name": target.value, **source}}
    return {"python_module": {"module_name": target.value, **source}}


def _start(parts: list[str], folder: Path) -> Path:
    """Return the folder that imports start from, given the one with the file of a module, or with a package's."""
    depth = len(parts) if folder.parts[-len(parts) :] == tuple(parts) else len(parts) - 1
    return folder.parents[depth - 1] if depth else folder


def project_around(root: Path, folder: Path) -> Path | None:
    """Return the nearest folder, up to the root, that states what its code requires."""
    folders = [each for each in (folder, *folder.parents) if each.is_relative_to(root)]
    return next((each for each in folders if _states(each)), None)


def _states(folder: Path) -> bool:
    data = pyproject(folder)
    stated = table(data, "project") or table(data, "tool", "poetry")
    return bool(stated) or any((folder / name).is_file() for name in _STATING)


def dg_project(layout: WorkspaceLayout, folder: Path) -> OwnerCode:
    """Return what a project of a dg workspace is on this machine."""
    root = Path(os.path.normpath(layout.root.absolute()))
    inside = Path(os.path.relpath(folder, root))
    repository = Repository(root)
    targets = (targets_of_project(repository, inside / name, folder.name) for name in ("dg.toml", "pyproject.toml"))
    target = next((each[0] for each in targets if each), None)
    if target is None:
        return OwnerCode(left_out=f"{folder} names no root_module in [tool.dg.project]")
    name = target.location_name or folder.name
    start = next(_sources(folder, target.value), folder)
    entry = {"module_name": target.value, "working_directory": str(start), "location_name": name}
    return OwnerCode({"python_module": entry}, folder)


def _sources(folder: Path, dotted: str) -> Iterator[Path]:
    """Yield the folders that a project's modules are imported from, as dg looks for them."""
    package = dotted.partition(".")[0]
    for start in (folder / "src", folder):
        if (start / package).is_dir() or (start / f"{package}.py").is_file():
            yield start
