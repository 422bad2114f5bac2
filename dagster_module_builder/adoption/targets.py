"""What Dagster loads without a workspace file: the tables of ``pyproject.toml``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagster_module_builder.adoption.model import Place, Target
from dagster_module_builder.adoption.repository import Repository
from dagster_module_builder.modules.code_location import table
from dagster_module_builder.shared_files.formats import toml_text


def toml_of(repository: Repository, path: Path) -> dict[str, Any]:
    """Return a TOML file's values; empty if it cannot be read."""
    try:
        return toml_text.parsed(repository.read(repository.root / path) or b"")
    except ValueError:
        return {}


def targets_of_project(repository: Repository, path: Path, dg_folder: str | None = None) -> tuple[Target, ...]:
    """Return what a ``pyproject.toml`` names in ``[tool.dagster]`` or ``[tool.dg.project]``, as Dagster 1.13 reads it.

    Args:
        repository: The repository.
        path: The file, or a ``dg.toml``, relative to the repository.
        dg_folder: The name of the project's folder where ``dg`` starts it, since that names code locations after
            folders; None if ``dagster`` starts it.
    """
    data = toml_of(repository, path)
    dagster, place = table(data, "tool", "dagster"), Place(path)
    listed = dagster.get("modules")
    names = [entry.get("name") for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    stated = _text(dagster.get("code_location_name"))
    found = [
        Target("module", name, None, None, place, stated)
        for name in names or [dagster.get("module_name")]
        if isinstance(name, str)
    ]
    return tuple(found) or _dg_target(data, path, dg_folder)


def _dg_target(data: Mapping[str, Any], path: Path, dg_folder: str | None) -> tuple[Target, ...]:
    project = table(data, "project") if path.name == "dg.toml" else table(data, "tool", "dg", "project")
    root = project.get("root_module")
    if not isinstance(root, str):
        return ()
    wanted = _text(project.get("code_location_target_module")) or f"{root}.definitions"
    name = _text(project.get("code_location_name")) or dg_folder
    return (Target("module", wanted, None, None, Place(path), name),)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
