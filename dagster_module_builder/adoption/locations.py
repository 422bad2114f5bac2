"""The code locations of a workspace, and the folders of the repository that their code is in."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from dagster_module_builder.adoption.container import Container
from dagster_module_builder.adoption.model import DagsterService, Location, Place, Target
from dagster_module_builder.adoption.repository import Repository
from dagster_module_builder.claims.facts import location_names
from dagster_module_builder.compose.service import Service
from dagster_module_builder.shared_files.formats.yaml_text import parsed


@dataclass(frozen=True)
class Containers:
    """The containers of a project, by service.

    Attributes:
        repository: The repository.
        services: The services of Dagster.
        by_name: Every container.
    """

    repository: Repository
    services: Sequence[DagsterService]
    by_name: Mapping[str, Container]

    def serving(self, host: str) -> DagsterService | None:
        """Return the service of Dagster that a host name leads to."""
        for service in self.services:
            if host in _host_names(self.by_name[service.name].service):
                return service
        return None


def _host_names(service: Service) -> set[str]:
    names = {service.name, str(service.data.get("container_name")), str(service.data.get("hostname"))}
    networks = service.data.get("networks")
    for options in networks.values() if isinstance(networks, dict) else ():
        names.update(map(str, (options or {}).get("aliases") or ()))
    return names


def entries_of(repository: Repository, path: Path) -> list[tuple[str, Any, int]]:
    """Return the entries of a workspace file: kind, content, and line, counted from 1."""
    text = repository.read(repository.root / path) or b""
    try:
        data, root = parsed(text), yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        return []
    entries = data.get("load_from") if isinstance(data, dict) else None
    lines = _item_lines(root)
    found: list[tuple[str, Any, int]] = []
    for entry, line in zip(entries if isinstance(entries, list) else [], lines, strict=False):
        items = entry.items() if isinstance(entry, dict) else [("python_file", entry)]
        found.extend((str(kind), target, line) for kind, target in items)
    return found


def _item_lines(root: yaml.Node | None) -> list[int]:
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value == "load_from" and isinstance(value, yaml.SequenceNode):
            return [item.start_mark.line + 1 for item in value.value]
    return []


def locations_of_file(
    containers: Containers, path: Path, reader: Container | None, seen_at: str | None = None
) -> Iterator[Location]:
    """Yield the code locations of a workspace file.

    Args:
        containers: The project's containers.
        path: The file, relative to the repository.
        reader: The container that reads it; None for native runs.
        seen_at: Its path there.
    """
    for kind, content, line in entries_of(containers.repository, path):
        place = Place(path, line)
        name = location_names([{kind: content}])[0]
        options = content if isinstance(content, dict) else {}
        if kind == "grpc_server":
            server = containers.serving(str(options.get("host")))
            yield Location(name, kind, server.name if server else None, _folder_served(containers, server), place)
        else:
            target = _target(kind, content)
            if target and target.kind == "file" and reader and seen_at:
                # Dagster takes a file's path from the workspace file's folder, whatever the working directory is.
                target = replace(target, value=posixpath.join(posixpath.dirname(seen_at), target.value))
            folder = folder_of(containers.repository, reader, target, path.parent) if target else None
            yield Location(name, kind, None, folder, place)


def _target(kind: str, content: Any) -> Target | None:
    options = content if isinstance(content, dict) else {}
    working_dir = options.get("working_directory")
    folder = str(working_dir) if working_dir else None
    if kind == "python_file":
        value = options.get("relative_path") if options else content
        return Target("file", str(value), None, folder)
    value = options.get("module_name") or options.get("package_name") if options else content
    return Target("module", str(value), None, folder) if kind in {"python_module", "python_package"} else None


def _folder_served(containers: Containers, server: DagsterService | None) -> Path | None:
    if server is None or not server.targets:
        return None
    return folder_of(containers.repository, containers.by_name[server.name], server.targets[0], None)


def location_of_target(containers: Containers, reader: Container | None, target: Target, base: Path | None) -> Location:
    """Return the code location that a command line or ``pyproject.toml`` names."""
    folder = folder_of(containers.repository, reader, target, base)
    return Location(target.location_name or target.value, f"python_{target.kind}", None, folder, target.place)


def folder_of(repository: Repository, reader: Container | None, target: Target, base: Path | None) -> Path | None:
    """Return the folder that a target's code is in, relative to the repository; None if it cannot be told.

    Args:
        repository: The repository.
        reader: The container that loads it; None for native runs.
        target: The target.
        base: The folder that relative paths start from in the repository, for native runs and workspace files.
    """
    if target.kind == "file" and base is not None and (file := base / target.value) and not file.is_absolute():
        return Path(os.path.normpath(file)).parent if (repository.root / file).is_file() else None
    for candidate in _candidates(target):
        if found := _seen_by(repository, reader, target, candidate, base):
            return Path(os.path.normpath(found.parent))
    return None if target.kind == "file" else _package(repository, target.value)


def _candidates(target: Target) -> list[str]:
    if target.kind == "file":
        return [target.value]
    path = target.value.replace(".", "/")
    return [f"{path}.py", f"{path}/__init__.py"]


def _seen_by(
    repository: Repository, reader: Container | None, target: Target, path: str, base: Path | None
) -> Path | None:
    if reader is None:
        file = (base or Path()) / (target.working_dir or "") / path
        return file if (repository.root / file).is_file() else None
    pythonpath = reader.variables.get("PYTHONPATH", "").split(":")
    starts = [folder for folder in (target.working_dir, reader.working_dir, *pythonpath) if folder]
    for start in starts or [""]:
        found = reader.file(reader.path(posixpath.join(start, path)))
        if found.path and not found.path.is_absolute() and (repository.root / found.path).is_file():
            return found.path
    return None


def _package(repository: Repository, dotted: str) -> Path | None:
    """Return the only folder of the repository that has a package of this name."""
    parts = dotted.split(".")
    if not all(part.isidentifier() for part in parts):
        return None
    name = Path(*parts)
    wanted = {name.with_suffix(".py"), name / "__init__.py"}
    found = {
        path.parent
        for path in repository.files
        if path.suffix == ".py" and any(path.parts[-len(one.parts) :] == one.parts for one in wanted)
    }
    return repository.inside(found.pop()) if len(found) == 1 else None
