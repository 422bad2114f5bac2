"""A workspace file that says what command lines say, where every service that loads code sees it."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from dagster_module_builder.adoption.command_text import UneditableError, edited_command
from dagster_module_builder.adoption.container import Container
from dagster_module_builder.adoption.locations import Containers, location_of_target
from dagster_module_builder.adoption.model import CommandChange, DagsterService, Place, Survey, Target
from dagster_module_builder.shared_files.formats import workspace_yaml

_KINDS = {"module": ("python_module", "module_name"), "file": ("python_file", "relative_path"),
          "package": ("python_package", "package_name")}  # fmt: skip
#: The folder of a workspace file that no container sees yet, and where it is mounted. A folder, since a file that is
#: mounted alone stays the old one when it is replaced.
FOLDER = "dagster_workspace"
MOUNTED_AT = f"/opt/{FOLDER}"


def with_proposal(whole: Survey, containers: Containers, loading: Sequence[DagsterService], folder: Path) -> Survey:
    """Return a survey with the workspace file that says what the services' commands name.

    Args:
        whole: The survey.
        containers: The project's containers.
        loading: The services that load code.
        folder: The project directory, for a file that no container sees yet.
    """
    targets = tuple(dict.fromkeys(replace(target, place=None) for service in loading for target in service.targets))
    content = proposed_workspace(targets)
    found = {service.name: _seen_at(containers.by_name[service.name], service) for service in loading}
    read = containers.repository.read
    # A file of the owner's that no service reads stays as it is.
    seen = {
        name: {path: there for path, there in places.items() if read(whole.repository / path) in {None, content}}
        for name, places in found.items()
    }
    path = next((path for path in seen[loading[0].name] if all(path in others for others in seen.values())), None)
    mounted = f"{MOUNTED_AT}/{workspace_yaml.NAME}"
    return replace(
        whole,
        proposed_workspace=content,
        proposed_path=path or folder / FOLDER / workspace_yaml.NAME,
        proposed_mount=None if path else MOUNTED_AT,
        command_changes=tuple(
            _change(containers, service, seen[service.name][path] if path else mounted) for service in loading
        ),
    )


def with_others_changed(whole: Survey, containers: Containers, loading: Sequence[DagsterService]) -> Survey:
    """Return a survey with the changes by which services that name code read the workspace file that others read.

    Only a service whose code is in that file, and that sees it, is changed: it loads at least what it did.

    Args:
        whole: The survey.
        containers: The project's containers.
        loading: The services that load code.
    """
    known = {location.name for location in whole.locations}
    changes = []
    for service in loading:
        container = containers.by_name[service.name]
        named = {location_of_target(containers, container, target, None).name for target in service.targets}
        if named and named <= known and (path := _path_there(whole, container)):
            changes.append(_change(containers, service, path))
    return replace(whole, command_changes=tuple(changes))


def _path_there(whole: Survey, container: Container) -> str | None:
    """Return where a container sees the workspace file."""
    if whole.workspace_file is None:
        return None
    readers = (service.workspace for service in whole.services if service.workspace)
    paths = [found.container_path for found in readers if found.path == whole.workspace_file]
    paths += [mount.target_of(str(whole.repository / whole.workspace_file)) for mount in container.service.mounts]
    return next((path for path in paths if path and container.file(path).path == whole.workspace_file), None)


def _seen_at(container: Container, service: DagsterService) -> Mapping[Path, str]:
    """Return where a workspace file may lie so that the container sees it, each with its path there."""
    paths = [posixpath.join(folder, workspace_yaml.NAME) for folder in _folders(container, service)]
    found: dict[Path, str] = {}
    for path in paths:
        if place := container.place_of_new_file(path):
            found.setdefault(place, path)
    return found


def _folders(container: Container, service: DagsterService) -> Iterator[str]:
    """Yield the container's folders that a workspace file may be in: where it starts, then around the code."""
    if container.working_dir:
        yield container.working_dir
    for target in service.targets:
        if target.working_dir:
            yield target.working_dir
        for start in filter(None, (target.working_dir, container.working_dir)):
            code = posixpath.normpath(
                posixpath.join(start, target.value.replace(".", "/") if target.kind != "file" else target.value)
            )
            yield from (str(parent) for parent in reversed(PurePosixPath(code).parents) if str(parent) != "/")
            if target.kind != "file":
                yield code


def _change(containers: Containers, service: DagsterService, path: str) -> CommandChange:
    data = containers.by_name[service.name].service.data
    in_compose = data.get("command") or data.get("entrypoint")
    written = service.script or (None if in_compose else service.image.dockerfile)
    try:
        after = edited_command(service.command, path)
    except UneditableError:
        after = ""
    if not after or after == service.command:
        after = f"… -w {path}"
    return CommandChange(service.name, Place(written) if written else service.place, service.command, after, path)


def proposed_workspace(targets: Sequence[Target]) -> bytes:
    """Return a workspace file that loads the same code as ``-m``, ``-f`` or ``--package-name``.

    Args:
        targets: What is loaded.
    """
    lines = ["# The code locations that command lines or pyproject.toml named before.", "load_from:"]
    for target in targets:
        lines.extend(_entry(target))
    return ("\n".join(lines) + "\n").encode()


def _entry(target: Target) -> Iterator[str]:
    kind, key = _KINDS[target.kind]
    # Dagster takes a file's path from the workspace file's folder; a command line's is from where it starts.
    absolute = posixpath.normpath(posixpath.join(target.started_in or target.working_dir or "", target.value))
    yield f"  - {kind}:"
    yield f"      {key}: {_text(absolute if target.kind == 'file' else target.value)}"
    if target.location_name:
        yield f"      location_name: {_text(target.location_name)}"
    if target.attribute:
        yield f"      attribute: {_text(target.attribute)}"
    if target.working_dir:
        yield f"      working_directory: {_text(target.working_dir)}"


def _text(value: str) -> str:
    plain = all(part.isidentifier() for part in value.strip("/").replace("/", ".").replace("-", "_").split("."))
    return value if plain else json.dumps(value)
