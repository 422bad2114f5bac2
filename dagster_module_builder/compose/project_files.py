"""The files of a Compose project, read as one: ``-f`` and override files, ``include`` and ``extends``.

It is Compose's reading (https://docs.docker.com/reference/compose-file/), without Compose, and starts nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import DamagedFileError
from dagster_module_builder.claims.facts import has_unset, interpolated
from dagster_module_builder.compose.merging import Loader, merged, merged_services, without_tags
from dagster_module_builder.compose.own_paths import with_absolute_paths
from dagster_module_builder.compose.service import well_formed
from dagster_module_builder.compose.stack import Reader, Stack
from dagster_module_builder.shared_files.formats import env_file
from dagster_module_builder.shared_files.formats.yaml_nodes import repeated_keys
from dagster_module_builder.shared_files.formats.yaml_text import loaded

#: Compose reads the first of these that exists in a folder, and the first of the overrides beside it.
MAIN_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDE_NAMES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
_SECTIONS = ("services", "volumes", "networks", "configs", "secrets")
#: How deeply files may include and extend each other.
_DEEPEST = 16
_CURE = "Remove one of the two."


@dataclass(frozen=True)
class Line:
    """A line of a file, counted from 1."""

    path: Path
    number: int


@dataclass(frozen=True)
class ProjectFiles:
    """A Compose project as its files say.

    Attributes:
        folder: The project directory.
        env_file: The ``.env`` that Compose reads, whether it exists or not.
        files: The files that Compose gets, in order.
        all_files: These files, and those that they include and extend.
        folders: The folder that paths in each file are relative to.
        stack: Their merged content.
        lines: The line that first defines each service.
    """

    folder: Path
    env_file: Path
    files: tuple[Path, ...]
    all_files: tuple[Path, ...]
    folders: Mapping[Path, Path]
    stack: Stack
    lines: Mapping[str, Line]


def files_in(folder: Path, env: Mapping[str, str], read: Reader) -> list[Path]:
    """Return the files that Compose reads in a folder without ``-f``; none if there is no Compose file."""
    if listed := env.get("COMPOSE_FILE"):
        names = listed.split(env.get("COMPOSE_PATH_SEPARATOR") or os.pathsep)
        return [Path(os.path.normpath(folder / name)) for name in names if name]
    firsts = [
        next((folder / name for name in names if read(folder / name)), None) for names in (MAIN_NAMES, OVERRIDE_NAMES)
    ]
    return [path for path in firsts if path] if firsts[0] else []


def variables_in(folder: Path, read: Reader) -> dict[str, str]:
    """Return the variables of a folder's ``.env``."""
    return env_file.values(read(folder / env_file.NAME) or b"")


def read_project(files: Sequence[Path], read: Reader, started_in: Path | None = None) -> ProjectFiles:
    """Read the files of a project.

    Args:
        files: The files that Compose gets, at least one; the project directory is the first one's.
        read: Reads them, and what they name.
        started_in: The folder that Compose is started in, whose ``.env`` names the files; None if none does.

    Raises:
        DamagedFileError: A file is missing or not YAML, or includes itself.
    """
    project = files[0].parent
    started = started_in or project
    env = variables_in(started, read)
    shell = {"PWD": str(project), "HOME": str(settings.expanded("~"))}
    reading = _Reading(read)
    data: dict[str, Any] = {}
    for path in files:
        data = merged(data, reading.file(path, project, {**shell, **env}))
    if isinstance(services := data.get("services"), dict):
        data["services"] = {name: well_formed(service) for name, service in services.items()}
    shell["COMPOSE_PROJECT_NAME"] = Stack(project, data, env, read, started / env_file.NAME).project
    env_path = started / env_file.NAME
    stack = Stack(project, data, env, read, env_path, shell)
    return ProjectFiles(project, env_path, tuple(files), tuple(reading.lines_of), reading.folders, stack, reading.lines)


@dataclass
class _Reading:
    read: Reader
    lines: dict[str, Line] = field(default_factory=dict)
    folders: dict[Path, Path] = field(default_factory=dict)
    #: The line of each service in each file that was read.
    lines_of: dict[Path, dict[str, int]] = field(default_factory=dict)

    def file(self, path: Path, project: Path, env: Mapping[str, str], depth: int = 0) -> dict[str, Any]:
        """Return a file's content with what it includes and extends; its own tags are left to the caller."""
        data = self._content(path, depth)
        self.folders.setdefault(path, project)
        for name, number in self.lines_of[path].items():
            self.lines.setdefault(name, Line(path, number))
        services = data.get("services")
        if isinstance(services, dict):
            data["services"] = {str(name): self._extended(str(name), path, services, project, env) for name in services}
        for included in self._included(data.pop("include", None), project, env, depth):
            for section in _SECTIONS:
                if isinstance(included.get(section), dict):
                    own = data.get(section)
                    data[section] = {**included[section], **(own if isinstance(own, dict) else {})}
        return data

    def _content(self, path: Path, depth: int) -> dict[str, Any]:
        if depth > _DEEPEST:
            raise DamagedFileError(path, None, "files that include or extend each other without end", "Fix it by hand.")
        text = self.read(path)
        if text is None:
            raise DamagedFileError(
                path,
                None,
                "this file of the Compose project is missing or cannot be read",
                "Create it, or remove its name.",
            )
        data = loaded(path, text, loader=Loader)
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
        if repeated := next(repeated_keys(root), None):
            line = repeated.start_mark.line + 1
            raise DamagedFileError(path, line, f"the key {repeated.value!r} is repeated, which Compose refuses", _CURE)
        self.lines_of.setdefault(path, dict(_key_lines(root, "services")))
        return {str(key): value for key, value in data.items()} if isinstance(data, dict) else {}

    def _included(self, entries: Any, project: Path, env: Mapping[str, str], depth: int) -> Iterator[dict[str, Any]]:
        for entry in entries if isinstance(entries, list) else ():
            options = entry if isinstance(entry, dict) else {"path": entry}
            paths = [_path(project, text, env) for text in _texts(options.get("path"))]
            if not paths:
                continue
            stated = options.get("project_directory")
            folder = _path(project, str(stated), env) if stated else paths[0].parent
            env_paths = [_path(project, text, env) for text in _texts(options.get("env_file"))]
            variables: dict[str, str] = {}
            for path in env_paths or [folder / env_file.NAME]:
                variables |= env_file.values(self.read(path) or b"")
            variables |= env
            data: dict[str, Any] = {}
            for path in paths:
                data = merged(data, self.file(path, folder, variables, depth + 1))
            yield _settled(with_absolute_paths(data, folder, variables), variables)

    def _extended(
        self, name: str, path: Path, services: Mapping[str, Any], project: Path, env: Mapping[str, str], depth: int = 0
    ) -> Any:
        """Return a service of a file with what it extends; its relative paths are the project's."""
        own = services.get(name)
        if not isinstance(own, dict) or "extends" not in own:
            return own
        extends = own["extends"]
        own = {key: value for key, value in own.items() if key != "extends"}
        options = extends if isinstance(extends, dict) else {"service": extends}
        wanted = interpolated(str(options.get("service")), env)
        if not options.get("file"):
            base = self._extended(wanted, path, services, project, env, depth + 1) if depth < _DEEPEST else None
        else:
            file = _path(project, str(options["file"]), env)
            others = self._content(file, depth).get("services")
            base = self._extended(wanted, file, others if isinstance(others, dict) else {}, file.parent, env, depth + 1)
            whole = with_absolute_paths({"services": {wanted: without_tags(base)}}, file.parent, env, "")
            base = whole["services"][wanted]
        return merged_services(without_tags(base) if isinstance(base, dict) else {}, own)


def _texts(value: Any) -> list[str]:
    entries = value if isinstance(value, list) else [value]
    return [str(entry.get("path") if isinstance(entry, dict) else entry) for entry in entries if entry]


def _path(folder: Path, text: str, env: Mapping[str, str]) -> Path:
    return Path(os.path.normpath(folder / interpolated(text, env)))


def _settled(value: Any, env: Mapping[str, str]) -> Any:
    """Return a value whose variables are replaced; those without a value stay."""
    if isinstance(value, dict):
        return {key: _settled(item, env) for key, item in value.items()}
    if isinstance(value, list):
        return [_settled(item, env) for item in value]
    if not isinstance(value, str) or "$" not in value or has_unset(value, env):
        return value
    return interpolated(value, env).replace("$", "$$")


def key_lines(text: bytes, section: str) -> Iterator[tuple[str, int]]:
    """Return the keys of a section of a YAML file with their lines, counted from 1."""
    return _key_lines(yaml.compose(text, Loader=yaml.CSafeLoader), section)


def _key_lines(root: yaml.Node | None, section: str) -> Iterator[tuple[str, int]]:
    pairs = root.value if isinstance(root, yaml.MappingNode) else ()
    for key, value in pairs:
        if key.value == section and isinstance(value, yaml.MappingNode):
            yield from ((str(name.value), name.start_mark.line + 1) for name, _ in value.value)
