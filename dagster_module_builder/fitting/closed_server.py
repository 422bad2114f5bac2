"""The code server of a module's fragments, where modules are kept apart from each other.

A server that takes all of ``.env`` and the whole workspace gets the variables and the code of its module instead, and
no right that it does not need.
"""

from __future__ import annotations

import json
import os.path
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dagster_module_builder.compose.service import env_files, well_formed
from dagster_module_builder.fitting.services import united
from dagster_module_builder.fitting.target_workspace import Contributions, TargetWorkspace, load
from dagster_module_builder.shared_files.blocks import split_lines
from dagster_module_builder.shared_files.formats import compose, dagster_yaml, env_file, workspace_yaml
from dagster_module_builder.shared_files.formats.outline import Outline, outline_of
from dagster_module_builder.shared_files.formats.shared_file import Contribution

#: Variables that only a database's own container needs.
_KEPT_BACK = re.compile(r".*_ROOT_PASSWORD")
#: What the server needs to report runs to Dagster's database.
_OF_DAGSTER = ("DAGSTER_POSTGRES_DB", "DAGSTER_POSTGRES_USER", "DAGSTER_POSTGRES_PASSWORD")
#: The keys that are written again, and those that are added where a person left them out.
_REPLACED = ("env_file", "environment", "volumes", "user", "networks")
_ADDED = {
    "init": "true",
    "read_only": "true",
    "cap_drop": "[ALL]",
    "security_opt": "[no-new-privileges:true]",
    "tmpfs": "[/tmp:mode=1777]",
    "pids_limit": "4096",
}
#: The group of servers: not that of Dagster's other services, which may read the logs of all modules.
_GROUP = "65534"
#: The user of servers where modules are kept apart.
USER = "${WORKSPACE_UID}:" + _GROUP


def closed(workspace: TargetWorkspace, module: Path, contributions: Contributions) -> dict[str, list[Contribution]]:
    """Return a module's contributions, with its code server closed to what is not the module's.

    Args:
        workspace: The workspace.
        module: The module's folder.
        contributions: Its contributions as its fragments have them.
    """
    files = {file: list(parts) for file, parts in contributions.items()}
    names = [] if workspace.served_apart is None else list(_servers(files))
    if not names:
        return files
    variables = [
        name
        for part in files.get(env_file.NAME, ())
        for name in env_file.keys(b"\n".join(part.mapping or ()))
        if not is_kept_back(name)
    ]
    # The service that runs other modules' code needs none of it, and is not to wait for this server.
    parts = [part for part in files.get(compose.NAME, ()) if part.path[0] != "services" or len(part.path) == 1]
    files[compose.NAME] = united(
        _with_closed(workspace, module, part, names, variables) if part.path == ("services",) else part
        for part in parts
    )
    return files


def is_kept_back(name: str) -> bool:
    """Return whether a variable is for a database's own container alone: ``"SHOP_DB_ROOT_PASSWORD" -> True``."""
    return bool(_KEPT_BACK.fullmatch(name))


def _servers(files: Contributions) -> Iterator[str]:
    """Yield the services that serve the module, if its own services serve all of it."""
    listed = [item for part in files.get(workspace_yaml.NAME, ()) for item in load(part.sequence) or ()]
    services = [part for part in files.get(compose.NAME, ()) if part.path == ("services",)]
    own = {name for part in services for name in load(part.mapping) or {}}
    hosts = [item["grpc_server"].get("host") for item in listed if isinstance(item.get("grpc_server"), dict)]
    if len(hosts) == len(listed) and own.issuperset(hosts):
        yield from dict.fromkeys(map(str, hosts))


def _with_closed(
    workspace: TargetWorkspace, module: Path, part: Contribution, names: Sequence[str], variables: Sequence[str]
) -> Contribution:
    body = part.mapping or ()
    data = load(body)
    for name in names:
        service = well_formed(data.get(name))
        if workspace.paths[env_file.NAME] in env_files(service, workspace.folder, workspace.stack.env):
            body = _closed_service(body, name, tuple(_lines(workspace, module, service, variables)))
    return Contribution(part.path, mapping=body)


def _closed_service(body: Sequence[bytes], name: str, lines: Sequence[str]) -> tuple[bytes, ...]:
    outline = outline_of(split_lines(b"\n".join(body)))
    service = outline.find((name,))
    if service is None:
        return tuple(body)
    margin = " " * outline.column(service.value)
    end = outline.last_line(service.value) + 1
    removed = {line for key in _REPLACED for line in _lines_of(outline, (name, key))}
    kept = [line for at, line in enumerate(body[:end]) if at not in removed]
    return (*kept, *(f"{margin}{line}".encode() for line in lines), *body[end:])


def _lines_of(outline: Outline, path: tuple[str, ...]) -> range:
    key = outline.find(path)
    return range(0) if key is None else range(key.line, outline.after(outline.last_line(key.value), key.column + 1))


def _lines(
    workspace: TargetWorkspace, module: Path, service: Mapping[str, Any], variables: Sequence[str]
) -> Iterator[str]:
    """Yield the lines of a closed service, but for those that stay as they are."""
    written = service.get("environment") or {}
    pairs = written.items() if isinstance(written, dict) else (str(each).partition("=")[::2] for each in written)
    passed = {name: f"${{{name}}}" for name in (*_OF_DAGSTER, *variables)}
    yield f"user: {USER}"
    yield "environment:"
    for name, value in {**passed, **dict(pairs), "HOME": "/tmp"}.items():  # noqa: S108 - in memory, the server's alone
        yield f"  {name}: {value if str(value).startswith('${') else json.dumps(value)}"
    yield "volumes:"
    for mount in _mounts(workspace, module, service):
        yield f"  - {json.dumps(mount)}"
    yield "networks:"
    apart = workspace.served_apart
    for network in dict.fromkeys([*(service.get("networks") or ()), *(apart.networks if apart else ())]):
        yield f"  - {network}"
    yield from (f"{key}: {value}" for key, value in _ADDED.items() if key not in service)


def _mounts(workspace: TargetWorkspace, module: Path, service: Mapping[str, Any]) -> Iterator[str]:
    """Yield the service's mounts, with the code of the module in place of the workspace."""
    root = os.path.relpath(workspace.root, workspace.folder)
    for mount in service.get("volumes") or ():
        source, _, rest = str(mount).partition(":")
        target = rest.partition(":")[0]
        if os.path.normpath(source) != root:
            yield str(mount)
            continue
        source = "src" if (module / "src").is_dir() else "."
        inside = os.path.relpath(module.resolve(), workspace.root.resolve())
        code = os.path.normpath(f"{inside}/{source}")
        yield f"{root}/{code}:{target}/{code}:ro"
        instance = workspace.paths[dagster_yaml.NAME]
        yield f"./{os.path.relpath(instance, workspace.folder)}:{target}/{os.path.relpath(instance, workspace.root)}:ro"
