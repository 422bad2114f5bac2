"""The code locations of a workspace, and what each is on this machine: a module, or code of the owner's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import BuilderError, DamagedFileError, NoWorkspaceError
from dagster_module_builder.base.layout import DEFAULTS, WorkspaceLayout, layout_of
from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.claims.facts import location_names
from dagster_module_builder.modules.dagster_check import pyproject_of
from dagster_module_builder.modules.module import read_module
from dagster_module_builder.native import owner_code
from dagster_module_builder.shared_files.formats import dg_toml, workspace_yaml
from dagster_module_builder.shared_files.formats.yaml_text import loaded, parsed
from dagster_module_builder.transactions.registry import parse_registry


@dataclass(frozen=True)
class LocationEntry:
    """A code location.

    Attributes:
        entry: Its entry in the workspace file.
        module: The folder of its module, if it has one.
        own_server: Whether the module has an environment apart.
        native: Its entry for native processes; None if ``entry`` serves there.
        project: The owner's project whose requirements it needs, in an environment apart.
        left_out: Why it cannot be loaded on this machine; empty if it can.
    """

    entry: Mapping[str, Any]
    module: Path | None = None
    own_server: bool = False
    native: Mapping[str, Any] | None = None
    project: Path | None = None
    left_out: str = ""

    @property
    def name(self) -> str:
        """Its name, as Dagster derives it."""
        return location_names([self.native or self.entry])[0]


def is_as_made(layout: WorkspaceLayout) -> bool:
    """Return whether files are where ``workspace.init`` makes them: paths in them lead there natively, too."""
    first = layout.new_modules.relative_to(layout.root).as_posix()
    return {**layout.values, "projects": first} == DEFAULTS


def locations(root: Path) -> list[LocationEntry]:
    """Return the code locations of a workspace.

    Raises:
        NoWorkspaceError: There is no workspace at ``root``.
        DamagedFileError: Dagster could not read its workspace file.
    """
    layout = layout_of(root)
    if not layout.workspace_file.is_file():
        raise NoWorkspaceError(root)
    if layout.is_dg:
        return [_of_dg(layout, path) for path in _dg_projects(layout.workspace_file)]
    entries = _entries(layout.workspace_file)
    modules = {ModuleNames(path.name).snake: path for path in layout.in_module_folders()}
    if is_as_made(layout):
        return [_location(entry, modules, layout.workspace_file.parent) for entry in entries]
    return [_adopted(layout, entry) for entry in entries]


def _entries(file: Path) -> list[dict[str, Any]]:
    data = loaded(file, file.read_bytes())
    try:
        entries = (data or {}).get("load_from") or []
        if all(isinstance(entry, dict) and entry for entry in entries):
            return list(entries)
    except (AttributeError, TypeError):
        raise DamagedFileError(file, None, "Dagster cannot read this YAML", "Fix it by hand.") from None
    raise DamagedFileError(file, None, "an entry of load_from is not a mapping", "Fix it by hand.")


def _location(entry: Mapping[str, Any], modules: Mapping[str, Path], services: Path) -> LocationEntry:
    kind, details = next(iter(entry.items()))
    if not isinstance(details, dict):
        return LocationEntry(entry)
    if kind == "grpc_server":
        module = modules.get(str(details.get("location_name")))
        return LocationEntry(entry, module, own_server=module is not None)
    working_directory = details.get("working_directory")
    if working_directory is None:
        return LocationEntry(entry, modules.get(str(details.get("location_name"))))
    source = Path(os.path.normpath(services / working_directory))
    return LocationEntry(entry, source.parent if pyproject_of(source.parent).is_file() else None)


def _registered(layout: WorkspaceLayout) -> dict[str, Path]:
    """Return the folders of the workspace's modules, by the names of their code locations."""
    text = layout.registry.read_bytes() if layout.registry.is_file() else None
    entries = parse_registry(layout.registry, text).entries
    return {entry.marker: layout.root / entry.path for entry in entries}


def _adopted(layout: WorkspaceLayout, entry: Mapping[str, Any]) -> LocationEntry:
    name = location_names([entry])[0]
    if module := _registered(layout).get(name):
        kind, details = next(iter(entry.items()))
        apart = kind == "grpc_server" or "executable_path" in details
        return LocationEntry(entry, module, own_server=apart, native=module_entry(module))
    found = owner_code.on_this_machine(layout, entry)
    return LocationEntry(entry, None, native=found.entry, project=found.project, left_out=found.left_out)


def module_entry(module: Path) -> Mapping[str, Any]:
    """Return a module's entry for native processes, by what its fragment names."""
    names = ModuleNames(module.name)
    try:
        fragment = parsed(read_module(module).fragments[workspace_yaml.NAME])
        kind, details = next(iter(fragment["load_from"][0].items()))
    except (BuilderError, KeyError, IndexError, TypeError, AttributeError):
        kind, details = "grpc_server", {}
    if kind == "grpc_server" or not isinstance(details, dict):
        kind, details = "python_package", {"package_name": names.definitions, "location_name": names.snake}
    return {kind: {**details, "working_directory": str(_inside(module, details.get("working_directory")))}}


def _inside(module: Path, stated: object) -> Path:
    """Return a fragment's folder: those are written as if the module were in ``projects``."""
    written = os.path.normpath(settings.SERVICES / str(stated or f"../../{settings.PROJECTS}/{module.name}/src"))
    return Path(os.path.normpath(module / os.path.relpath(written, settings.PROJECTS / module.name)))


def _dg_projects(file: Path) -> list[str]:
    try:
        return dg_toml.projects(file.read_bytes())
    except ValueError as error:
        raise DamagedFileError(file, None, f"this is not TOML: {error}", "Fix it by hand.") from None


def _of_dg(layout: WorkspaceLayout, path: str) -> LocationEntry:
    folder = Path(os.path.normpath(layout.workspace_file.parent / path))
    module = next((each for each in _registered(layout).values() if each.absolute() == folder.absolute()), None)
    if module is not None:
        return LocationEntry({"dg": path}, module, native=module_entry(module))
    found = owner_code.dg_project(layout, folder)
    return LocationEntry({"dg": path}, None, native=found.entry, project=found.project, left_out=found.left_out)
