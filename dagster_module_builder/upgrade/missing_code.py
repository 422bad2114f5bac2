"""The code that a module lacks: an IO manager, and its registration in the project's own style."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

from dagster_module_builder.audit.audited_module import AuditedModule
from dagster_module_builder.audit.io_managers import KEY, io_manager_registered, io_managers, resource_items
from dagster_module_builder.audit.syntax import SourceFile
from dagster_module_builder.base.baseline import Tree
from dagster_module_builder.modules.code_location import defs_folder, table
from dagster_module_builder.upgrade.io_manager_registration import Registration, registered
from dagster_module_builder.upgrade.proof import Loader

_CLASS = "ModuleStorage"
_DEFS_RESOURCES = '''\
"""The assets' resources: storage."""

import dagster as dg

from {module} import ModuleStorage


@dg.definitions
def resources() -> dg.Definitions:
    """Register the module's IO manager."""
    return dg.Definitions(resources={{"io_manager": ModuleStorage()}})
'''

_FOLDER_LOADED = """\
from pathlib import Path

from dagster import definitions, load_from_defs_folder


@definitions
def defs():
    return load_from_defs_folder(path_within_project=Path(__file__).parent)
"""


@dataclass
class MissingCode:
    """The code's files to add or change, notes about them, and what has to be done by hand."""

    files: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    by_hand: list[str] = field(default_factory=list)


def missing_code(audited: AuditedModule, template: Tree, loader: Loader | None) -> MissingCode:
    """Return the code that a module lacks.

    Args:
        audited: The module.
        template: A module as the template renders it.
        loader: Loads the module's definitions; None to load nothing.
    """
    missing = MissingCode()
    if audited.code_locations[1:] and audited.location is None:
        names = [str(location.dotted) for location in audited.code_locations]
        missing.notes.append(
            f"{audited.path.name} has {len(names)} code locations: {', '.join(names)}. A module has one, here the "
            f"first. Pass --location NAME to take another one."
        )
    if audited.code_location.definitions is None:
        missing.by_hand.append(_without_definitions(audited))
    elif KEY in (keys := {key for key, _, _ in resource_items(audited)}) or io_managers(audited):
        _note_own_io_manager(audited, missing)
    elif not (loader and _is_loaded(loader)):
        _Registering(audited, template, missing).register(visible=None not in keys or _is_known(loader))
    return missing


def _without_definitions(audited: AuditedModule) -> str:
    """Say what to write; a dg project without the file has a folder that only dg itself loads."""
    root = table(audited.pyproject, "tool", "dg", "project").get("root_module")
    if not isinstance(root, str):
        return "No file builds Definitions. Write definitions.py, then run 'upgrade' again."
    path = f"{root.replace('.', '/')}/definitions.py"
    return (
        f"Only dg loads the folder of definitions. Write {path} beside it, then run 'upgrade' again:\n{_FOLDER_LOADED}"
    )


def _is_loaded(loader: Loader) -> bool:
    """Tell whether the module registers an IO manager, as loading its definitions shows."""
    return loader.allowed and KEY in loader.before.resources


def _is_known(loader: Loader | None) -> bool:
    return loader is not None and loader.allowed and not loader.before.problem


def _note_own_io_manager(audited: AuditedModule, missing: MissingCode) -> None:
    names = list(dict.fromkeys(manager.name for manager in io_managers(audited)))
    shown = ", ".join(names)
    if any(problem.status == "FAIL" for problem in io_manager_registered(audited)):
        missing.by_hand.append(
            f"The module has an IO manager ({shown}), but Definitions does not register it. Add "
            f'resources={{"io_manager": {names[0]}(…)}} to Definitions.'
        )
    elif names and not any(file.path.stem == "resources" for file in audited.sources.files):
        missing.notes.append(f"The module has an IO manager ({shown}). Move it to resources.py.")


@dataclass(frozen=True)
class _Registering:
    """Adds an IO manager to a module that registers none."""

    audited: AuditedModule
    template: Tree
    missing: MissingCode

    def register(self, *, visible: bool) -> None:
        """Add the IO manager's file, and register it where the definitions are built.

        Args:
            visible: Whether it is known that none is registered.
        """
        definitions = self.audited.code_location.definitions
        if definitions is None:
            return
        folder = defs_folder(self.audited.path, self.audited.code_location)
        if not visible and folder is None:
            self.missing.by_hand.append(
                f"The code does not show which resources {self._relative(definitions)} registers. Run the upgrade with "
                f"--trust, which loads the definitions. If no resource '{KEY}' is registered there, an IO manager is "
                f"added."
            )
        elif folder is not None:
            self._register_in(folder)
        else:
            self._register(definitions)

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.audited.path).as_posix()

    def _from_template(self, name: str) -> bytes:
        return next(file.content for path, file in self.template.items() if path.endswith(f"/{name}"))

    def _register_in(self, folder: Path) -> None:
        """Add a file to a folder of definitions, all of which are loaded."""
        location = self.audited.code_location
        module = ".".join([*location.package.relative_to(location.source).parts, self._add_storage()])
        text = _DEFS_RESOURCES.format(module=module).encode()
        self.missing.files[self._relative(_free(folder, "resources", "io_manager", "module_io_manager"))] = text

    def _add_storage(self) -> str:
        """Add the IO manager's files; return its module's name, which no other file has."""
        package = self.audited.code_location.package
        path = _free(package, "storage", "module_storage", "module_io_manager")
        parts = _free(package, "stored", "stored_values", "module_stored_values").with_suffix("")
        imported = f"from {self._dot}{parts.name}".encode()
        self.missing.files[self._relative(path)] = self._from_template("storage.py").replace(b"from .stored", imported)
        for name, file in self.template.items():
            folder, _, base = name.rpartition("/")
            if folder.endswith("/stored"):
                self.missing.files[self._relative(parts / base)] = file.content
        return path.stem

    @property
    def _dot(self) -> str:
        """What an import from the package's folder begins with."""
        return "" if self.audited.code_location.is_flat else "."

    def _register(self, definitions: Path) -> None:
        package, storage = self.audited.code_location.package, self._add_storage()
        origin = self._origin(definitions)
        if _exists(package, "resources"):
            item = f'"{KEY}": {_CLASS}()'
            registration = Registration(f"from {origin}{storage} import {_CLASS}", f"{{{item}}}", item)
        else:
            imported = f"from {self._dot}{storage}".encode()
            text = self._from_template("resources.py").replace(b"from .storage", imported)
            self.missing.files[self._relative(package / "resources.py")] = text
            registration = Registration(f"from {origin}resources import RESOURCES", "RESOURCES", "**RESOURCES")
        name, text_after = self._relative(definitions), registered(self.audited.bytes_of(definitions), registration)
        if text_after is None:
            lines = registration.repository_lines if self._is_repository(definitions) else registration.lines
            self.missing.by_hand.append(f"The structure of {name} is not supported. Add these lines to it:\n{lines}")
        else:
            self.missing.files[name] = text_after

    def _file(self, path: Path) -> SourceFile | None:
        return next((file for file in self.audited.sources.files if file.path == path), None)

    def _is_repository(self, definitions: Path) -> bool:
        file = self._file(definitions)
        return file is not None and not any(file.calls("Definitions")) and "repository" in file.decorators

    def _origin(self, definitions: Path) -> str:
        """Return how the file imports from its package: ``""``, ``"."``, ``".."`` or ``"orders."``."""
        location = self.audited.code_location
        if location.is_flat:
            return ""
        file = self._file(definitions)
        if file and _imports_absolutely(file, location.package.name):
            return f"{location.package.name}."
        return "." * (len(definitions.parent.relative_to(location.package).parts) + 1)


def _exists(folder: Path, name: str) -> bool:
    return (folder / f"{name}.py").exists() or (folder / name).is_dir()


def _free(folder: Path, *names: str) -> Path:
    """Return the path of the first name that no module in a folder has."""
    return folder / f"{next((name for name in names if not _exists(folder, name)), names[-1])}.py"


def _imports_absolutely(file: SourceFile, package: str) -> bool:
    """Tell whether a file imports its own package by name, and never relatively."""
    if any(node.level for node in file.nodes_of(ast.ImportFrom)):
        return False
    return any(name.partition(".")[0] == package for name in file.packages)
