"""A module on disk: its names, and its fragments for the workspace's files."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import NoModuleError, RefusedError
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.base.names import ModuleNames, did_you_mean, problem_with_name
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
        RefusedError: A module cannot have this name, or several folders have one of this name.
    """
    path = _path_of(root, name_or_path)
    if problem := problem_with_name(path.name):
        raise RefusedError(problem)
    return _existing(root, path)


def folder_of(root: Path, name_or_path: str) -> Path:
    """Return the folder of a project of any name, given its name or a path to it.

    Raises:
        NoModuleError: There is no such folder.
        RefusedError: Several folders have one of this name.
    """
    return _existing(root, _path_of(root, name_or_path))


def _path_of(root: Path, name_or_path: str) -> Path:
    """Return a path that may not exist; ``sales_report`` is ``sales-report`` where only that exists."""
    if is_path(name_or_path):
        paths = [settings.expanded(name_or_path).absolute()]
    else:
        paths = [folder / name_or_path for folder in layout_of(root).module_folders]
    paths = [Path(os.path.normpath(path)) for path in paths]
    dashed = [path.with_name(path.name.replace("_", "-")) if path.name else path for path in paths]
    found = [path for path in paths if path.is_dir()] or [path for path in dashed if path.is_dir()]
    refuse_several(found)
    return found[0] if found else paths[0]


def refuse_several(paths: Sequence[Path], flag: str = "") -> None:
    """Refuse a name that means several folders.

    Args:
        paths: The folders of one name.
        flag: What a path is given with, with the space behind it.

    Raises:
        RefusedError: It means several: all are named.
    """
    if len(paths) > 1:
        raise RefusedError(
            f"{paths[0].name!r} is ambiguous: {' and '.join(map(str, paths))} exist. Pass a path: {flag}{paths[0]}"
        )


def refuse_namesakes(paths: Sequence[Path]) -> Sequence[Path]:
    """Return modules' folders, unless two have the same name: a workspace knows a module by its name alone.

    Raises:
        RefusedError: Two have: both are named.
    """
    for path, other in pairwise(sorted(paths, key=lambda path: path.name)):
        if path.name == other.name:
            raise RefusedError(f"{path} and {other} have the same name. Rename one of them, or move it elsewhere.")
    return paths


def _existing(root: Path, path: Path) -> Path:
    if path.is_dir():
        return path
    folders = layout_of(root).module_folders
    looked_in = folders if path.parent in folders else (path.parent,)
    others = [name for folder in looked_in for name in _folders_in(folder)]
    raise NoModuleError(path.name, " or ".join(map(str, looked_in)), did_you_mean(path.name, others))


def _folders_in(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir() if path.is_dir()]
    except OSError:
        return []


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
    """Return the folders in the folders of the modules that have fragments, by name."""
    folders = layout_of(root).in_module_folders()
    return [path for path in folders if (path / settings.FRAGMENTS).is_dir() and not problem_with_name(path.name)]


def lies_outside(root: Path, name_or_path: str) -> Path | None:
    """Return a module's folder if it is given by a path outside the workspace's folders of modules, else None.

    Raises:
        NoModuleError: There is no such folder.
    """
    if not is_path(name_or_path):
        return None
    path = locate(root, name_or_path)
    return None if layout_of(root).holds(path) else path


@contextlib.contextmanager
def in_projects(root: Path, path: Path, *, move: bool) -> Iterator[Path]:
    """Give a module's folder in a folder of modules, moved there if it is elsewhere, and back if what follows fails.

    Raises:
        RefusedError: It is elsewhere and may not be moved, or another module has its name.
    """
    layout = layout_of(root)
    if layout.holds(path):
        yield path
        return
    if not move:
        where = layout.named_module_folders
        there = f"to {layout.new_modules}" if len(layout.module_folders) > 1 else "there"
        raise RefusedError(
            f"{path} lies outside {where}, where containers do not see it. Pass --move to move it {there}."
        )
    for folder in layout.module_folders[1:]:
        if (folder / path.name).exists():
            raise RefusedError(f"{folder / path.name} exists already, so {path} was not moved.")
    target = layout.new_modules / path.name
    if target.exists():
        raise RefusedError(f"{target} exists already, so {path} was not moved.")
    shutil.move(path, target)
    try:
        yield target
    except BaseException:
        shutil.move(target, path)
        raise
