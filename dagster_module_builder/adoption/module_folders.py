"""The folders of a repository in which its projects lie side by side."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dagster_module_builder.adoption.model import Location
from dagster_module_builder.adoption.repository import Repository
from dagster_module_builder.base.settings import PROJECTS

_MARKS = ("pyproject.toml", "setup.py", "setup.cfg")
#: What the layout file can list in one line: nothing hidden, no comma, no space.
_LISTABLE = re.compile(r"(?!\.)[\w-][\w.-]*(?:/(?!\.)[\w.-]+)*")


def module_folders(repository: Repository, locations: Sequence[Location]) -> list[Path]:
    """Return the folders that projects of code locations are in, relative to the repository, after ``projects``.

    What is ambiguous is left out: the repository's root, folders within a project, and those that have a project of
    the same name as another one has, since a name alone would not tell them apart.

    Args:
        repository: The repository.
        locations: Its code locations.
    """
    found = {project for location in locations if (project := _project(repository, location.folder))}
    folders = sorted({project.parent for project in found if _is_listable(repository, project.parent)} - {PROJECTS})
    every = {folder: set(_names_in(repository, folder)) for folder in (PROJECTS, *folders)}
    return [PROJECTS, *(folder for folder in folders if every[folder].isdisjoint(_others(every, folder)))]


def _project(repository: Repository, folder: Path | None) -> Path | None:
    """Return the innermost project that a folder is in, below the root: ``packages/silk/silk -> packages/silk``."""
    above = (folder, *folder.parents) if folder and not folder.is_absolute() else ()
    return next((path for path in above if path != Path() and _is_project(repository, path)), None)


def _is_project(repository: Repository, folder: Path) -> bool:
    return any(repository.read(repository.root / folder / mark) is not None for mark in _MARKS)


def _is_listable(repository: Repository, folder: Path) -> bool:
    if folder == Path() or ".." in folder.parts or not _LISTABLE.fullmatch(folder.as_posix()):
        return False
    return not any(_is_project(repository, path) for path in (folder, *folder.parents) if path != Path())


def _names_in(repository: Repository, folder: Path) -> Iterator[str]:
    path = repository.root / folder
    for child in path.iterdir() if path.is_dir() else ():
        if _is_project(repository, folder / child.name):
            yield child.name


def _others(every: dict[Path, set[str]], folder: Path) -> Iterable[str]:
    return (name for other, names in every.items() if other != folder for name in names)
