"""A module under audit and its workspace; each part is read when a check first needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from dagster_module_builder.audit.results import Problem, Status
from dagster_module_builder.audit.sources import Sources
from dagster_module_builder.audit.syntax import Variable, parsed
from dagster_module_builder.base import baseline, settings
from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.claims.facts import Facts
from dagster_module_builder.deploy.model.deployment import deployments_of
from dagster_module_builder.modules.code_location import CodeLocation, code_files, pyproject, table
from dagster_module_builder.modules.code_locations import code_locations, read_code_location
from dagster_module_builder.modules.module import FRAGMENT_NAMES, record_of
from dagster_module_builder.programs.version_control import Repository, find
from dagster_module_builder.shared_files.formats import compose, dockerfile, env_file, yaml_text
from dagster_module_builder.transactions import module_files
from dagster_module_builder.workspaces.clashes import all_facts
from dagster_module_builder.workspaces.module_fragments import ModuleFragments, read_fragments
from dagster_module_builder.workspaces.workspace import Workspace, look_at

EXAMPLE = ".env.example"
_AUDIT = ("tool", "dagster-module-builder", "audit")
#: Folders with generated files only.
_GENERATED = frozenset({".git", ".venv", "venv", "node_modules", "__pycache__", ".dagster-module"})


@dataclass(frozen=True)
class AuditedModule:
    """A module under audit.

    Attributes:
        path: Its folder.
        root: The workspace's root.
        python: The Python of an environment with Dagster and the module's requirements, if there is one.
        location: The dotted name of the code location, if the project has several; the likeliest by default.
    """

    path: Path
    root: Path
    python: Path | None = None
    location: str | None = None

    @property
    def names(self) -> ModuleNames:
        """The names derived from the folder's name."""
        return ModuleNames(self.path.name)

    @cached_property
    def code_location(self) -> CodeLocation:
        """Where its definitions are."""
        return read_code_location(self.path, self.location)

    @cached_property
    def code_locations(self) -> Sequence[CodeLocation]:
        """All code locations of the project, of which it is one."""
        return code_locations(self.path)

    @cached_property
    def sources(self) -> Sources:
        """Its Python files."""
        return Sources([parsed(path, self.bytes_of(path)) for path in code_files(self.path)])

    @cached_property
    def variables(self) -> Sequence[Variable]:
        """The environment variables that its code reads."""
        return list(self.sources.variables())

    @cached_property
    def pyproject(self) -> Mapping[str, Any]:
        """Its ``pyproject.toml``."""
        return pyproject(self.path)

    @cached_property
    def record(self) -> Mapping[str, Any]:
        """The template's record in the module; empty if it was not made from the template."""
        return record_of(self.path)

    def missing(self, message: str, *, status: Status = "FAIL") -> Problem:
        """Return the problem of a missing file.

        ``upgrade`` adds it to a module that was not made from the template; otherwise the file was deleted on purpose.
        """
        if self.record and (self.path / baseline.FILE).is_file():
            return Problem(message, "It was deleted. Restore it from git", status=status)
        return Problem(message, "Run 'upgrade', which adds it", status=status, by_upgrade=True)

    @cached_property
    def switched_off(self) -> Mapping[str, Any]:
        """The checks that its ``pyproject.toml`` switches off, with reasons."""
        return table(self.pyproject, *_AUDIT, "off")

    @cached_property
    def switched_off_by_workspace(self) -> Mapping[str, Any]:
        """The checks that the workspace's ``pyproject.toml`` switches off, for all modules or for this one."""
        settings_ = table(pyproject(self.root), *_AUDIT)
        return {**table(settings_, "off"), **table(settings_, "modules", self.path.name, "off")}

    def shown(self, path: Path, line: int | None = None) -> str:
        """Return a path within the module, with a line: ``src/x.py:3``."""
        name = str(path.relative_to(self.path)) if path.is_relative_to(self.path) else str(path)
        return f"{name}:{line}" if line else name

    def fragment(self, file: str) -> Path:
        """Return the path of the fragment for a shared file."""
        return self.path / settings.FRAGMENTS / FRAGMENT_NAMES[file]

    def fragment_text(self, file: str) -> bytes:
        """Return a fragment's content; empty if it is missing."""
        return self.bytes_of(self.fragment(file))

    @cached_property
    def fragment_env(self) -> Mapping[str, str]:
        """The variables that its fragment sets."""
        return env_file.values(self.fragment_text(env_file.NAME))

    @cached_property
    def example_text(self) -> str | None:
        """The text of ``.env.example``, which explains the variables; None if it is missing."""
        return module_files.text(self.path, self.path / EXAMPLE)

    def bytes_of(self, path: Path) -> bytes:
        """Return the content of one of its files; empty if it is missing.

        Raises:
            NotPlainError: A link leads out of the module, or it is not a regular file.
        """
        return module_files.read(self.path, path) or b""

    def text_of(self, path: Path) -> str:
        """Return the text of one of its files; empty if it is missing."""
        return self.bytes_of(path).decode("utf-8", "replace")

    @cached_property
    def compose(self) -> Mapping[str, Any]:
        """Its parsed compose fragment; empty if it is not valid."""
        try:
            data = yaml_text.parsed(self.fragment_text(compose.NAME))
        except yaml.YAMLError:
            return {}
        return data if isinstance(data, dict) else {}

    @cached_property
    def compose_services(self) -> Mapping[str, Mapping[str, Any]]:
        """The services of its compose fragment."""
        return {name: service for name, service in table(self.compose, "services").items() if isinstance(service, dict)}

    @cached_property
    def set_by_compose(self) -> set[str]:
        """The variables that its compose fragment sets for code."""
        services = [table(self.compose, compose.CODE_KEY), *self.compose_services.values()]
        return {name for service in services for name in _set_in(service.get("environment"))}

    @cached_property
    def dockerfiles(self) -> Sequence[Path]:
        """Its Dockerfile, its fragment of the shared one, and those of its deployments."""
        folders = (self.path, *self.deployments)
        candidates = (self.fragment(dockerfile.NAME), *(folder / "Dockerfile" for folder in folders))
        return [path for path in candidates if path.is_file()]

    @cached_property
    def workspace(self) -> Workspace | None:
        """The workspace; None if there is none that can be read."""
        try:
            return look_at(self.root)
        except BuilderError:
            return None

    @cached_property
    def workspace_env(self) -> Mapping[str, str]:
        """The variables that the workspace's ``.env`` sets."""
        path = layout_of(self.root).env_file
        return env_file.values(path.read_bytes()) if path.is_file() else {}

    @cached_property
    def fragments(self) -> ModuleFragments | BuilderError | None:
        """Its fragments as ``workspace.add`` reads them, or the error."""
        try:
            return read_fragments(self.workspace, self.path) if self.workspace else None
        except BuilderError as error:
            return error

    @cached_property
    def facts(self) -> Mapping[str, Facts]:
        """The claims of all modules in the workspace, including this one."""
        if self.workspace is None or not isinstance(self.fragments, ModuleFragments):
            return {}
        try:
            return all_facts(self.workspace, [self.fragments])
        except BuilderError:
            return {}

    @cached_property
    def deployments(self) -> Sequence[Path]:
        """The folders of its deployments."""
        return deployments_of(self.path)

    @cached_property
    def tests(self) -> Sequence[Path]:
        """Its files with tests."""
        folders = [path for path in self.path.glob("*") if path.name == "tests" or path.name.endswith("_tests")]
        return sorted(path for folder in folders for path in folder.rglob("*.py") if path.name.startswith("test_"))

    @cached_property
    def repository(self) -> Repository | None:
        """Its git repository; None if there is none. A repository that git cannot read raises an error."""
        return find(self.path)

    @cached_property
    def tracked(self) -> Sequence[Path]:
        """The files that git tracks or does not ignore; without git all files except generated ones."""
        if self.repository is not None:
            names = self.repository.listed("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".")
            listed = [self.path / name for name in names]
        else:
            listed = [
                path for path in self.path.rglob("*") if not _GENERATED.intersection(path.relative_to(self.path).parts)
            ]
        return sorted(path for path in listed if path.is_file() and not path.is_symlink())


def _set_in(environment: object) -> list[str]:
    """Return the names that get a value; Compose takes the others from the shell that starts the container."""
    if isinstance(environment, dict):
        return [str(name) for name, value in environment.items() if value not in (None, "")]
    items = environment if isinstance(environment, list) else []
    return [name for name, _, value in (str(item).partition("=") for item in items) if value]
