"""The workspace file for native processes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.native.location_entries import LocationEntry, locations
from dagster_module_builder.native.native_environment import make_private_folder, project_python
from dagster_module_builder.native.native_folder import FOLDER

DERIVED_WORKSPACE = FOLDER / "workspace.yaml"


@dataclass(frozen=True)
class NativeEntries:
    """The entries that native processes load, and why others are left out, a sentence each."""

    entries: tuple[Mapping[str, Any], ...]
    left_out: tuple[str, ...] = ()


def workspace_file(root: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the workspace file for native processes, and a sentence for each code location that it leaves out.

    It is the workspace's own, or a derived one if an entry is not the same on this machine.
    """
    found = locations(root)
    if not any(each.own_server or each.native or each.project or each.left_out for each in found):
        return layout_of(root).workspace_file, ()
    native = native_entries(root, found)
    derived = root / DERIVED_WORKSPACE
    make_private_folder(root)
    derived.write_text(yaml.safe_dump({"load_from": list(native.entries)}))
    return derived, native.left_out


def native_entries(root: Path, found: Iterable[LocationEntry]) -> NativeEntries:
    """Return the entries of these code locations for native processes; environments are made where they are needed."""
    entries, left_out = [], []
    for location in found:
        try:
            if location.left_out:
                raise ToolError(location.left_out)
            entries.append(native_entry(root, location))
        except ToolError as error:
            left_out.append(f"The code location {location.name} is left out: {str(error).rstrip('.')}.")
    return NativeEntries(tuple(entries), tuple(left_out))


def native_entry(root: Path, location: LocationEntry) -> Mapping[str, Any]:
    """Return a location's entry in the workspace file for native processes.

    Raises:
        ToolError: The requirements of its project cannot be installed.
    """
    entry = _where_it_is(root, location.native or location.entry)
    if location.project is not None:
        return _loaded_by(entry, project_python(root, location.project))
    if not location.own_server or location.module is None:
        return entry
    python = root / FOLDER / location.module.name / "venv" / "bin" / "python"
    if location.native is not None:
        return _loaded_by(entry, python)
    names = ModuleNames(location.module.name)
    return {
        "python_package": {
            "package_name": names.definitions,
            "working_directory": str(location.module / "src"),
            "location_name": names.snake,
            "executable_path": str(python),
        }
    }


def _loaded_by(entry: Mapping[str, Any], python: Path) -> Mapping[str, Any]:
    kind, details = next(iter(entry.items()))
    return {kind: {"executable_path": str(python), **details}} if isinstance(details, dict) else entry


def _where_it_is(root: Path, entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an entry for a workspace file in another folder.

    Dagster resolves the paths of Python files relative to the workspace file, and those of packages relative to its
    working directory (``dagster._core.workspace.load``).
    """
    if "python_file" not in entry:
        return entry
    folder, python_file = layout_of(root).dagster_folder, entry["python_file"]
    stated = {"relative_path": python_file} if isinstance(python_file, str) else python_file
    paths = {key: stated.get(key, ".") for key in ("relative_path", "working_directory")}
    return {"python_file": {**stated, **{key: os.path.normpath(folder / path) for key, path in paths.items()}}}
