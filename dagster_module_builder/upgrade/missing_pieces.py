"""What a module lacks that was not made from the template: files from the template, adapted to its code."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from dagster_module_builder.audit.audited_module import EXAMPLE, AuditedModule
from dagster_module_builder.audit.io_managers import io_manager_registered, io_managers
from dagster_module_builder.audit.syntax import SourceFile
from dagster_module_builder.base import settings
from dagster_module_builder.base.baseline import FileContent, Tree
from dagster_module_builder.modules.module import FRAGMENT_NAMES
from dagster_module_builder.shared_files.formats import dockerfile, env_file, workspace_yaml
from dagster_module_builder.upgrade import missing_requirements
from dagster_module_builder.upgrade.changes import read_content
from dagster_module_builder.upgrade.io_manager_registration import Registration, registered
from dagster_module_builder.upgrade.missing_fragments import dockerfile_fragment, workspace_yaml_fragment
from dagster_module_builder.upgrade.three_way import UpgradedFile

#: The packages that the template's storage imports.
STORAGE_REQUIREMENTS = ("fsspec>=2024.6", "pandas>=2.2", "pyarrow>=18", "universal-pathlib>=0.2.6")
_SECRETS_IGNORED = b"\n# Secrets\n.env\n.env.*\n!.env.example\n"
#: Values that Compose and Dagster read alike in single quotes.
_READ_ALIKE = re.compile(r"[^'\\\r\n]*")
_SET_BY_WORKSPACE = frozenset({"DAGSTER_STORAGE_DIR", "DAGSTER_HOME"})

_DEFS_RESOURCES = '''\
"""The assets' resources: storage."""

import dagster as dg

from {package}.storage import ModuleStorage


@dg.definitions
def resources() -> dg.Definitions:
    """Register the module's IO manager."""
    return dg.Definitions(resources={{"io_manager": ModuleStorage()}})
'''


@dataclass(frozen=True)
class MissingPieces:
    """The files to add or change, and notes about what to do by hand."""

    files: Sequence[UpgradedFile]
    notes: tuple[str, ...] = ()


def missing(root: Path, path: Path, template: Tree) -> MissingPieces:
    """Return what a module lacks.

    Args:
        root: The workspace's root.
        path: The module's folder.
        template: A module that the template renders with ``answers_for``.

    Raises:
        RefusedError: The folder's name is not a valid module name.
    """
    return _Collector(AuditedModule(path, root), template).pieces()


def answers_for(module: Path) -> Mapping[str, str]:
    """Return the template's answers that render the pieces for a module that was not made from it."""
    return {"name": module.name, "governance": "quick", "starter": "empty", "database": "none"}


class _Collector:
    """Collects the pieces in order: later steps see the files that earlier ones add."""

    def __init__(self, audited: AuditedModule, template: Tree) -> None:
        self.audited = audited
        self.template = template
        self.files: dict[str, bytes] = {}
        self.notes: list[str] = []

    def pieces(self) -> MissingPieces:
        for collect in (self._code, self._requirements, self._fragments, self._variables, self._rest):
            collect()
        files = [self._upgraded(name, text) for name, text in sorted(self.files.items())]
        return MissingPieces(files, tuple(self.notes))

    def _upgraded(self, name: str, text: bytes) -> UpgradedFile:
        path = self.audited.path / name
        before = read_content(self.audited.path, path) if path.is_file() else None
        return UpgradedFile(name, before, FileContent(text, before.executable if before else False))

    def _add(self, name: str, text: bytes) -> None:
        """Add a file unless it exists."""
        if not (self.audited.path / name).exists():
            self.files[name] = text

    def _from_template(self, name: str) -> bytes:
        return next(file.content for path, file in self.template.items() if path == name or path.endswith(f"/{name}"))

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.audited.path).as_posix()

    def _code(self) -> None:
        """Add ``storage.py`` and ``resources.py``, and register the IO manager."""
        location = self.audited.code_location
        if location.definitions is None:
            self.notes.append("No file builds Definitions. Write definitions.py, then run 'upgrade' again.")
            return
        if io_managers(self.audited):
            self._note_own_io_manager()
            return
        self._add(self._relative(location.package / "storage.py"), self._from_template("storage.py"))
        folder = self._components_folder()
        if folder:
            text = _DEFS_RESOURCES.format(package=location.package.name).encode()
            self._add(self._relative(folder / "resources.py"), text)
        else:
            self._register(location.definitions)

    def _note_own_io_manager(self) -> None:
        names = ", ".join(dict.fromkeys(manager.name for manager in io_managers(self.audited)))
        if any(problem.status == "FAIL" for problem in io_manager_registered(self.audited)):
            self.notes.append(
                f"The module has an IO manager ({names}), but Definitions does not register it. Add "
                f'resources={{"io_manager": {names.split(", ")[0]}(…)}} to Definitions.'
            )
        elif not any(file.path.stem == "resources" for file in self.audited.sources.files):
            self.notes.append(f"The module has an IO manager ({names}). Move it to resources.py.")

    def _components_folder(self) -> Path | None:
        """Return the ``defs`` folder if the definitions load it with ``load_from_defs_folder``, else None."""
        definitions, location = self.audited.code_location.definitions, self.audited.code_location
        loads = [file for file in self.audited.sources.files if file.path == definitions and _loads_folder(file)]
        return location.package / "defs" if loads and (location.package / "defs").is_dir() else None

    def _register(self, definitions: Path) -> None:
        package, dot = self.audited.code_location.package, "" if self.audited.code_location.is_flat else "."
        has_file = (package / "resources.py").exists() or (package / "resources").is_dir()
        depth = len(definitions.parent.relative_to(package).parts)
        origin = dot * (depth + 1) if dot else ""
        if has_file:
            item = '"io_manager": ModuleStorage()'
            registration = Registration(f"from {origin}storage import ModuleStorage", f"{{{item}}}", item)
        else:
            text = self._from_template("resources.py").replace(b"from .storage", f"from {dot}storage".encode())
            self._add(self._relative(package / "resources.py"), text)
            registration = Registration(f"from {origin}resources import RESOURCES", "RESOURCES", "**RESOURCES")
        text_after = registered(self.audited.bytes_of(definitions), registration)
        name = self._relative(definitions)
        if text_after is None:
            self.notes.append(f"The structure of {name} is not supported. Add these lines to it:\n{registration.lines}")
        else:
            self.files[name] = text_after

    def _requirements(self) -> None:
        """Declare the packages that the storage imports, and Dagster in a new ``pyproject.toml``."""
        has_storage = any(name.endswith("storage.py") for name in self.files)
        files, notes = missing_requirements.declare(self.audited, STORAGE_REQUIREMENTS if has_storage else ())
        self.files |= files
        self.notes += notes

    def _fragments(self) -> None:
        """Add the missing fragments."""
        for file, name in FRAGMENT_NAMES.items():
            path = (settings.FRAGMENTS / name).as_posix()
            text = self.template[path].content
            if file == workspace_yaml.NAME:
                text = workspace_yaml_fragment(self.audited)
            elif file == dockerfile.NAME:
                text = dockerfile_fragment(self.audited, text)
            if file != env_file.NAME and text:
                self._add(path, text)

    def _variables(self) -> None:
        """Explain and set the variables that the code reads."""
        required = {variable.name: variable.required for variable in self.audited.variables}
        names = sorted(set(required) - _SET_BY_WORKSPACE)
        example = "".join(f"{name}=''\n" for name in names)
        module = self.audited.path.name
        header = f"# The environment variables of {module}. Copy this file to workspace/local/.env and fill it in.\n"
        self._add(EXAMPLE, f"{header}{example}#   DAGSTER_STORAGE_DIR   where the assets are stored\n".encode())
        own = dotenv_values(self.audited.path / ".env", interpolate=False)
        known = {key: value or "" for key, value in own.items()}
        fragment = (settings.FRAGMENTS / ".env").as_posix()
        lines = [f"{name}='{known.get(name, '')}'\n" for name in names if _READ_ALIKE.fullmatch(known.get(name, ""))]
        self._add(fragment, "".join(lines).encode() or f"# {module} needs no variables.\n".encode())
        empty = [name for name in names if required[name] and not known.get(name)]
        if fragment in self.files and empty:
            self.notes.append(f"Fill in {', '.join(empty)} in {fragment}.")

    def _rest(self) -> None:
        """Add the deployments' files, and keep secrets out of git."""
        for name, file in self.template.items():
            if name.startswith("deploy/"):
                self._add(name, file.content)
        ignored = self.audited.path / ".gitignore"
        if not ignored.is_file():
            self.files[".gitignore"] = self.template[".gitignore"].content
        elif not _ignores_env(text := self.audited.bytes_of(ignored)):
            self.files[".gitignore"] = text + (b"" if text.endswith(b"\n") or not text else b"\n") + _SECRETS_IGNORED


def _ignores_env(text: bytes) -> bool:
    return bool(re.search(rb"^(\*\*/|\*)?\.env\*?\s*$", text, re.MULTILINE))


def _loads_folder(file: SourceFile) -> bool:
    return any(True for _ in file.calls("load_from_defs_folder"))
