"""The path of a module's folder in the containers; it is mounted if they lack it."""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.base.settings import PROJECTS
from dagster_module_builder.compose.service import Mount, Service, innermost
from dagster_module_builder.fitting.target_workspace import Findings, TargetWorkspace, load, refuse_read_only
from dagster_module_builder.shared_files.formats.shared_file import Contribution

#: Where a module's folder is mounted in containers that lack it.
_PLACES = ("/workspace", "/opt/dagster/modules_code")

_WORKING_DIRECTORY = re.compile(rb"^(\s*(?:- )?working_directory:\s*)(\S.*?)(\s*)$")
_PLAIN_PATH = re.compile(r"[\w./-]+")


def locate_code(workspace: TargetWorkspace, findings: Findings, entries: Sequence[tuple[str, Any]]) -> dict[str, str]:
    """Return the folders of the module's code in the containers, by the folders in its fragment."""
    targets = [target.get("working_directory") for _, target in entries if isinstance(target, dict)]
    relative = dict.fromkeys(str(path) for path in targets if path and not str(path).startswith("/"))
    return {path: _path_in_containers(workspace, findings, path) for path in relative}


def _path_in_containers(workspace: TargetWorkspace, findings: Findings, relative: str) -> str:
    host = os.path.normpath(workspace.folder / relative)
    seen = {service.name: _seen_at(workspace, service, host) for service in workspace.services}
    paths = set(filter(None, seen.values()))
    path = paths.pop() if len(paths) == 1 else _free_place(workspace) + "/" + os.path.relpath(host, workspace.root)
    for service in workspace.services:
        if seen[service.name] != path:
            refuse_read_only(findings, service, path)
            findings.mount(service.name, relative, path)
    inside = innermost(workspace.run_mounts, path)
    if workspace.in_containers and (inside is None or inside.source_of(path) != host):
        findings.run_mounts.append((host, path))
    return path


def _seen_at(workspace: TargetWorkspace, service: Service, host: str) -> str | None:
    mounts = [*_inferred(workspace, service), *service.mounts]
    shown = ((mount, mount.target_of(host)) for mount in mounts)
    paths = [path for mount, path in shown if path and innermost(mounts, path) is mount]
    return min(paths, key=len, default=None)


def _inferred(workspace: TargetWorkspace, service: Service) -> list[Mount]:
    """Return what mounts with an unknown source contain, inferred from the existing code locations."""
    data = workspace.workspace_data if isinstance(workspace.workspace_data, dict) else {}
    items = data.get("load_from")
    entries = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    targets = [target for item in entries for target in item.values()]
    folders = [str(target.get("working_directory") or "") for target in targets if isinstance(target, dict)]
    unknown = [mount for mount in service.mounts if mount.source is None and mount.lasting]
    listed = [path.relative_to(workspace.root).as_posix() for path in layout_of(workspace.root).module_folders]
    names = dict.fromkeys([PROJECTS.as_posix(), *listed])
    inferred: list[Mount] = []
    for mount in unknown:
        for folder in (folder for folder in folders if mount.covers(folder)):
            inferred += [found for name in names if (found := _inferred_from(workspace.root, mount, folder, name))]
    return inferred


def _inferred_from(root: Path, mount: Mount, folder: str, name: str) -> Mount | None:
    """Return where a code location shows that a folder of modules is mounted: ``/code/projects/a/src``."""
    before, inside, rest = folder.rpartition(f"/{name}/")
    target = f"{before}/{name}"
    return (
        Mount(str(root / name), target) if inside and mount.covers(target) and (root / name / rest).is_dir() else None
    )


def _free_place(workspace: TargetWorkspace) -> str:
    mounts = [mount for service in workspace.services for mount in service.mounts]
    return next((place for place in _PLACES if innermost([*mounts, *workspace.run_mounts], place) is None), _PLACES[-1])


def relocated(workspace: TargetWorkspace, contribution: Contribution, paths: Mapping[str, str]) -> Contribution:
    """Return the location entries, with the containers' paths if the relative ones do not lead there."""
    elsewhere = {relative: path for relative, path in paths.items() if not _holds(workspace, relative, path)}
    if not elsewhere:
        return contribution
    body = tuple(_relocated_line(line, elsewhere) for line in contribution.sequence or ())
    return Contribution(contribution.path, sequence=body)


def _holds(workspace: TargetWorkspace, relative: str, path: str) -> bool:
    # Dagster resolves a relative path against the folder of the process.
    folders = {
        posixpath.normpath(posixpath.join(service.working_dir or "?", relative)) for service in workspace.services
    }
    return folders == {path}


def _relocated_line(line: bytes, paths: Mapping[str, str]) -> bytes:
    match = _WORKING_DIRECTORY.match(line)
    path = paths.get(str(load([match[2]]))) if match else None
    if match is None or path is None:
        return line
    return match[1] + (path if _PLAIN_PATH.fullmatch(path) else json.dumps(path)).encode() + match[3]
