"""A module on disk: its names, and its fragments for the workspace's files."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import NoModuleError, RefusedError
from dagster_module_builder.base.names import ModuleNames, problem_with_name
from dagster_module_builder.shared_files.formats import compose, dockerfile, env_file, workspace_yaml
from dagster_module_builder.transactions import module_files

#: A fragment's file name in ``workspace/local/``, by the shared file that it is for.
FRAGMENT_NAMES = {
    workspace_yaml.NAME: "workspace.yaml",
    env_file.NAME: ".env",
    compose.NAME: "docker-compose.yml",
    dockerfile.NAME: "dockerfile.snippet",
}

#: What the template records in a module: its version and the answers.
RECORD = ".dagster-module.json"

#: What uv and Dagster read by themselves, following any link.
_READ_BY_OTHERS = ("pyproject.toml", "setup.py", "setup.cfg", "uv.lock", "requirements.txt", ".env")


@dataclass(frozen=True)
class Module:
    """A module: its folder, and the bytes of its fragments by the shared file that they are for."""

    path: Path
    fragments: Mapping[str, bytes]
    template_version: str | None = None

    @property
    def names(self) -> ModuleNames:
        """The names derived from the folder's."""
        return ModuleNames(self.path.name)

    def fragment_path(self, file: str) -> Path:
        """Return the path of the fragment for a shared file."""
        return self.path / settings.FRAGMENTS / FRAGMENT_NAMES[file]


def locate(root: Path, name_or_path: str) -> Path:
    """Return a module's folder, given its name or a path to it.

    Raises:
        NoModuleError: There is no such folder.
        RefusedError: A module cannot have this name.
    """
    path = (
        settings.expanded(name_or_path).absolute() if is_path(name_or_path) else root / settings.PROJECTS / name_or_path
    )
    path = Path(os.path.normpath(path))
    if problem := problem_with_name(path.name):
        raise RefusedError(problem)
    if not path.is_dir():
        raise NoModuleError(path.name, path.parent)
    return path


def is_path(name_or_path: str) -> bool:
    """Tell whether this is a path, not a name."""
    return os.sep in name_or_path or name_or_path in {".", ".."}


def read_module(path: Path) -> Module:
    """Read a module's fragments.

    Raises:
        RefusedError: It has no ``workspace/local/``, or no location entry there.
    """
    folder = path / settings.FRAGMENTS
    if not folder.is_dir():
        raise RefusedError(
            f"{path} has no {settings.FRAGMENTS}/, so there is nothing to add. 'upgrade {path.name}' creates it."
        )
    texts = {file: module_files.read(path, folder / name) for file, name in FRAGMENT_NAMES.items()}
    fragments = {file: text for file, text in texts.items() if text is not None}
    for name in _READ_BY_OTHERS:
        module_files.read(path, path / name)
    if workspace_yaml.NAME not in fragments:
        raise RefusedError(f"{folder / 'workspace.yaml'} is missing. Without it, Dagster does not find the module.")
    return Module(path, fragments, record_of(path).get("template_version"))


def record_of(path: Path) -> dict[str, Any]:
    """Return what the template recorded in a module: its version and the answers; empty without a record."""
    try:
        data = json.loads(module_files.read(path, path / RECORD) or b"null")
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def modules_in(root: Path) -> list[Path]:
    """Return the folders below ``projects/`` that have fragments, by name."""
    projects = root / settings.PROJECTS
    folders = projects.iterdir() if projects.is_dir() else iter(())
    return sorted(path for path in folders if (path / settings.FRAGMENTS).is_dir() and not problem_with_name(path.name))


def lies_outside(root: Path, name_or_path: str) -> Path | None:
    """Return a module's folder if it is given by a path outside the workspace's projects, else None.

    Raises:
        NoModuleError: There is no such folder.
    """
    if not is_path(name_or_path):
        return None
    path = locate(root, name_or_path)
    return path if path.parent.resolve() != (root / settings.PROJECTS).resolve() else None


@contextlib.contextmanager
def in_projects(root: Path, path: Path, *, move: bool) -> Iterator[Path]:
    """Give a module's folder below ``projects/``, moved there if it is elsewhere, and back if what follows fails.

    Raises:
        RefusedError: It is elsewhere and may not be moved, or another module has its name.
    """
    projects = root / settings.PROJECTS
    if path.parent.resolve() == projects.resolve():
        yield path
        return
    if not move:
        raise RefusedError(
            f"{path} lies outside {projects}, where containers do not see it. Pass --move to move it there."
        )
    target = projects / path.name
    if target.exists():
        raise RefusedError(f"{target} exists already, so {path} was not moved.")
    shutil.move(path, target)
    try:
        yield target
    except BaseException:
        shutil.move(target, path)
        raise
