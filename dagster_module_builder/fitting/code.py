"""Where the containers see a module's folder; mounted where they do not."""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any

from dagster_module_builder.compose.service import Mount, Service, innermost
from dagster_module_builder.fitting.surroundings import Findings, Surroundings, load, refuse_read_only
from dagster_module_builder.shared_files.formats.shared_file import Contribution

#: Where a module's folder is mounted in containers that do not see it yet.
_PLACES = ("/workspace", "/opt/dagster/modules_code")

_WORKING_DIRECTORY = re.compile(rb"^(\s*(?:- )?working_directory:\s*)(\S.*?)(\s*)$")
_PLAIN_PATH = re.compile(r"[\w./-]+")


def locate_code(around: Surroundings, findings: Findings, entries: Sequence[tuple[str, Any]]) -> dict[str, str]:
    """Return the paths in the containers that code is loaded from, by what the fragment says."""
    targets = [target.get("working_directory") for _, target in entries if isinstance(target, dict)]
    relative = dict.fromkeys(str(given) for given in targets if given and not str(given).startswith("/"))
    return {given: _path_in_containers(around, findings, given) for given in relative}


def _path_in_containers(around: Surroundings, findings: Findings, given: str) -> str:
    host = os.path.normpath(around.stack.folder / given)
    seen = {service.name: _seen_at(around, service, host) for service in around.services}
    found = set(filter(None, seen.values()))
    path = found.pop() if len(found) == 1 else _free_place(around) + "/" + os.path.relpath(host, around.root)
    for service in around.services:
        if seen[service.name] != path:
            refuse_read_only(findings, service, path)
            findings.mount(service.name, given, path)
    inside = innermost(around.run_mounts, path)
    if around.in_containers and (inside is None or inside.source_of(path) != host):
        findings.run_mounts.append((host, path))
    return path


def _seen_at(around: Surroundings, service: Service, host: str) -> str | None:
    mounts = [*_inferred(around, service), *service.mounts]
    shown = ((mount, mount.target_of(host)) for mount in mounts)
    paths = [path for mount, path in shown if path and innermost(mounts, path) is mount]
    return min(paths, key=len, default=None)


def _inferred(around: Surroundings, service: Service) -> list[Mount]:
    """Return what mounts whose source is not known show, as the locations that are there already tell."""
    data = around.workspace_data if isinstance(around.workspace_data, dict) else {}
    items = data.get("load_from")
    entries = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    targets = [target for item in entries for target in item.values()]
    folders = [str(target.get("working_directory") or "") for target in targets if isinstance(target, dict)]
    unknown = [mount for mount in service.mounts if mount.source is None and mount.lasting]
    inferred = []
    for mount in unknown:
        for folder in (folder for folder in folders if mount.covers(folder)):
            before, projects, rest = folder.rpartition("/projects/")
            if projects and mount.covers(before + "/projects") and (around.root / "projects" / rest).is_dir():
                inferred.append(Mount(str(around.root / "projects"), before + "/projects"))
    return inferred


def _free_place(around: Surroundings) -> str:
    mounts = [mount for service in around.services for mount in service.mounts]
    return next((place for place in _PLACES if innermost([*mounts, *around.run_mounts], place) is None), _PLACES[-1])


def relocated(around: Surroundings, contribution: Contribution, paths: Mapping[str, str]) -> Contribution:
    """Return the location entries with the containers' paths, where relative ones do not hold."""
    elsewhere = {given: path for given, path in paths.items() if not _holds(around, given, path)}
    if not elsewhere:
        return contribution
    body = tuple(_relocated_line(line, elsewhere) for line in contribution.sequence or ())
    return Contribution(contribution.path, sequence=body)


def _holds(around: Surroundings, given: str, path: str) -> bool:
    # Dagster resolves a relative path against the folder of the process.
    found = {posixpath.normpath(posixpath.join(one.working_dir or "?", given)) for one in around.services}
    return found == {path}


def _relocated_line(line: bytes, paths: Mapping[str, str]) -> bytes:
    found = _WORKING_DIRECTORY.match(line)
    path = paths.get(str(load([found[2]]))) if found else None
    if found is None or path is None:
        return line
    return found[1] + (path if _PLAIN_PATH.fullmatch(path) else json.dumps(path)).encode() + found[3]
