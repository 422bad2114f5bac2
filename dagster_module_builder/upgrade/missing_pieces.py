"""What a module lacks that this tool never made: its pieces come from the template, fitted to where its code lies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dotenv import dotenv_values

from dagster_module_builder.audit.audited_module import EXAMPLE, AuditedModule
from dagster_module_builder.audit.io_managers import io_manager_registered, io_managers
from dagster_module_builder.audit.syntax import SourceFile
from dagster_module_builder.base import settings
from dagster_module_builder.base.baseline import FileContent, Tree
from dagster_module_builder.modules import legacy_requirements
from dagster_module_builder.modules.code_location import table
from dagster_module_builder.modules.module import FRAGMENT_NAMES
from dagster_module_builder.shared_files.formats import dockerfile, env_file, workspace_yaml
from dagster_module_builder.upgrade.changes import held
from dagster_module_builder.upgrade.io_manager_registration import Registration, registered
from dagster_module_builder.upgrade.requirements_table import lacking, not_among, with_requirements
from dagster_module_builder.upgrade.setup_files import with_configured_requires, with_install_requires
from dagster_module_builder.upgrade.three_way import Merged

#: What the template's storage imports.
STORAGE_REQUIREMENTS = ("fsspec>=2024.6", "pandas>=2.2", "pyarrow>=18", "universal-pathlib>=0.2.6")
_SECRETS_IGNORED = b"\n# Secrets\n.env\n.env.*\n!.env.example\n"
_READ_ALIKE = re.compile(r"[^'\\\r\n]*")
_NOT_OURS = frozenset({"DAGSTER_STORAGE_DIR", "DAGSTER_HOME"})

_DEFS_RESOURCES = '''\
"""What the assets are given: their storage."""

import dagster as dg

from {package}.storage import ModuleStorage


@dg.definitions
def resources() -> dg.Definitions:
    """Register the module's IO manager."""
    return dg.Definitions(resources={{"io_manager": ModuleStorage()}})
'''
_PYPROJECT = """\
[project]
name = "{name}"
version = "0.1.0"
requires-python = ">=3.10"
dependencies = [
    "dagster",
]
"""


@dataclass(frozen=True)
class Found:
    """The files that are made or changed, and what a person has to know."""

    merged: Sequence[Merged]
    notes: tuple[str, ...] = ()


def missing(root: Path, path: Path, template: Tree) -> Found:
    """Find what a module lacks.

    Args:
        root: The workspace's root.
        path: The module's folder.
        template: A module as the template makes it of ``answers_for``.

    Raises:
        RefusedError: Its name is none that a module can have.
    """
    return _Gathered(AuditedModule(path, root), template).found()


def answers_for(module: Path) -> Mapping[str, str]:
    """Return the answers to the template's questions that make the pieces of a module that others made."""
    return {"name": module.name, "governance": "quick", "starter": "empty", "database": "none"}


class _Gathered:
    """The pieces as they come together: later ones see what earlier ones make."""

    def __init__(self, audited: AuditedModule, template: Tree) -> None:
        self.audited = audited
        self.template = template
        self.files: dict[str, bytes] = {}
        self.notes: list[str] = []

    def found(self) -> Found:
        for gather in (self._code, self._requirements, self._fragments, self._variables, self._rest):
            gather()
        return Found([self._merged(name, text) for name, text in sorted(self.files.items())], tuple(self.notes))

    def _merged(self, name: str, text: bytes) -> Merged:
        path = self.audited.path / name
        before = held(self.audited.path, path) if path.is_file() else None
        return Merged(name, before, FileContent(text, before.executable if before else False))

    def _make(self, name: str, text: bytes) -> None:
        if not (self.audited.path / name).exists():
            self.files[name] = text

    def _from_template(self, name: str) -> bytes:
        return next(one.content for path, one in self.template.items() if path == name or path.endswith(f"/{name}"))

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.audited.path).as_posix()

    def _code(self) -> None:
        """Make ``storage.py`` and ``resources.py``, and register the IO manager."""
        location = self.audited.code_location
        if location.definitions is None:
            self.notes.append("No file builds Definitions: write definitions.py, then run 'upgrade' again.")
            return
        if io_managers(self.audited):
            self._note_own_io_manager()
            return
        self._make(self._relative(location.package / "storage.py"), self._from_template("storage.py"))
        folder = self._components_folder()
        if folder:
            text = _DEFS_RESOURCES.format(package=location.package.name).encode()
            self._make(self._relative(folder / "resources.py"), text)
        else:
            self._register(location.definitions)

    def _note_own_io_manager(self) -> None:
        names = ", ".join(dict.fromkeys(one.name for one in io_managers(self.audited)))
        if any(problem.status == "FAIL" for problem in io_manager_registered(self.audited)):
            self.notes.append(
                f"The module has an IO manager of its own ({names}), but Definitions does not name it: add "
                f'resources={{"io_manager": {names.split(", ")[0]}(…)}} there.'
            )
        elif not any(file.path.stem == "resources" for file in self.audited.sources.files):
            self.notes.append(f"The module has an IO manager of its own ({names}): move it into resources.py.")

    def _components_folder(self) -> Path | None:
        """Return the folder that Dagster loads whole, where definitions are loaded so."""
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
            self._make(self._relative(package / "resources.py"), text)
            registration = Registration(f"from {origin}resources import RESOURCES", "RESOURCES", "**RESOURCES")
        text_after = registered(self.audited.bytes_of(definitions), registration)
        name = self._relative(definitions)
        if text_after is None:
            self.notes.append(f"The shape of {name} is not understood. Add these lines to it:\n{registration.lines}")
        else:
            self.files[name] = text_after

    def _requirements(self) -> None:
        """State what the storage imports, and Dagster."""
        wanted = STORAGE_REQUIREMENTS if any(name.endswith("storage.py") for name in self.files) else ()
        path = self.audited.path / "pyproject.toml"
        if legacy_requirements.is_old(self.audited.path):
            self._old_requirements(wanted)
        elif not path.is_file():
            text = _PYPROJECT.format(name=self.audited.names.snake.replace("_", "-"))
            self.files["pyproject.toml"] = (with_requirements(text, wanted) or text).encode()
        elif not table(self.audited.pyproject, "project"):
            self._ask_for(wanted, "the dependencies in [project] of pyproject.toml")
        elif more := lacking(text := self.audited.bytes_of(path).decode(), wanted):
            changed = with_requirements(text, more)
            if changed is None:
                self._ask_for(more, "pyproject.toml")
            else:
                self.files["pyproject.toml"] = changed.encode()

    def _old_requirements(self, wanted: Sequence[str]) -> None:
        """State them in ``setup.py``, or in ``setup.cfg`` where the others stand there."""
        module = self.audited.path
        texts = {
            name: self.audited.bytes_of(module / name)
            for name in (legacy_requirements.SETUP_PY, legacy_requirements.SETUP_CFG)
        }
        more = not_among(legacy_requirements.old_requirements(*texts.values()) or [], wanted)
        if not more:
            return
        configured = (
            bool(legacy_requirements.config_requirements(texts[legacy_requirements.SETUP_CFG]))
            or not texts[legacy_requirements.SETUP_PY]
        )
        name = legacy_requirements.SETUP_CFG if configured else legacy_requirements.SETUP_PY
        changed = (with_configured_requires if configured else with_install_requires)(texts[name], more)
        if changed is None:
            self._ask_for(more, f"install_requires in {name}, whose shape is not understood")
        else:
            self.files[name] = changed

    def _ask_for(self, wanted: Sequence[str], where: str) -> None:
        if wanted:
            lines = "\n".join(f'    "{one}",' for one in wanted)
            self.notes.append(f"Add these requirements to {where}:\n{lines}")

    def _fragments(self) -> None:
        """Make the fragments that are missing."""
        for file, name in FRAGMENT_NAMES.items():
            path = (settings.FRAGMENTS / name).as_posix()
            text = self.template[path].content
            if file == workspace_yaml.NAME:
                text = self._location()
            elif file == dockerfile.NAME:
                text = self._image(text)
            if file != env_file.NAME and text:
                self._make(path, text)

    def _location(self) -> bytes:
        location, name = self.audited.code_location, self.audited.path.name
        if location.dotted is None:
            return b""
        source = location.source.relative_to(self.audited.path).as_posix()
        folder = PurePosixPath("../..", settings.PROJECTS.as_posix(), name, source)
        entry = {
            "package_name": location.dotted,
            "working_directory": str(folder),
            "location_name": self.audited.names.snake,
        }
        lines = [f"      {key}: {value}\n" for key, value in entry.items()]
        return ("load_from:\n  - python_package:\n" + "".join(lines)).encode()

    def _image(self, text: bytes) -> bytes:
        name = self.audited.path.name
        source = self.audited.code_location.source.relative_to(self.audited.path).as_posix()
        folder = PurePosixPath("/workspace", settings.PROJECTS.as_posix(), name)
        text = text.replace(f'"{folder}/src:'.encode(), f'"{folder / source}:'.encode())
        if legacy_requirements.is_old(self.audited.path):
            file = next(
                one
                for one in (legacy_requirements.SETUP_PY, legacy_requirements.SETUP_CFG)
                if (self.audited.path / one).is_file()
            )
            text = text.replace(f"{name}/pyproject.toml".encode(), f"{name}/{file}".encode())
            text = text.replace(b"$(printf -- '-r %s ' /opt/dagster/modules/*/pyproject.toml)",
                                f"-r /opt/dagster/modules/{name}/{file}".encode())  # fmt: skip
        return text

    def _variables(self) -> None:
        """Set and explain the variables that the code reads."""
        read = {variable.name: variable.required for variable in self.audited.variables}
        names = sorted(set(read) - _NOT_OURS)
        example = "".join(f"{name}=''\n" for name in names)
        whose = self.audited.path.name
        header = f"# The environment variables of {whose}: copy it to workspace/local/.env, and fill it in.\n"
        self._make(EXAMPLE, f"{header}{example}#   DAGSTER_STORAGE_DIR   where the assets are stored\n".encode())
        own = dotenv_values(self.audited.path / ".env", interpolate=False)
        known = {key: value or "" for key, value in own.items()}
        fragment = (settings.FRAGMENTS / ".env").as_posix()
        lines = [f"{name}='{known.get(name, '')}'\n" for name in names if _READ_ALIKE.fullmatch(known.get(name, ""))]
        self._make(fragment, "".join(lines).encode() or f"# {self.audited.path.name} needs no variables.\n".encode())
        empty = [name for name in names if read[name] and not known.get(name)]
        if fragment in self.files and empty:
            self.notes.append(f"Fill in {', '.join(empty)} in {fragment}.")

    def _rest(self) -> None:
        """Make what belongs to deployments, and keep secrets out of git."""
        for name, one in self.template.items():
            if name.startswith("deploy/"):
                self._make(name, one.content)
        ignored = self.audited.path / ".gitignore"
        if not ignored.is_file():
            self.files[".gitignore"] = self.template[".gitignore"].content
        elif not _ignores_env(text := self.audited.bytes_of(ignored)):
            self.files[".gitignore"] = text + (b"" if text.endswith(b"\n") or not text else b"\n") + _SECRETS_IGNORED


def _ignores_env(text: bytes) -> bool:
    return bool(re.search(rb"^(\*\*/|\*)?\.env\*?\s*$", text, re.MULTILINE))


def _loads_folder(file: SourceFile) -> bool:
    return any(True for _ in file.calls("load_from_defs_folder"))
