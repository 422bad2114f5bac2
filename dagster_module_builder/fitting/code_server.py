"""A module's own code server in a workspace that other people made.

It is what always works: the module has its own image, Python and Dagster, and the services only need to reach it. It
gets what a run in it needs to report: the variables that ``dagster.yaml`` names, and the folders of Dagster's storage.
"""

from __future__ import annotations

import contextlib
import json
import os.path
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from dagster_module_builder.base.layout import SERVERS
from dagster_module_builder.compose.service import Mount, innermost
from dagster_module_builder.fitting import server_image
from dagster_module_builder.fitting.closed_server import USER, is_kept_back
from dagster_module_builder.fitting.instance import Instance
from dagster_module_builder.fitting.server_image import PORT, ServedCode
from dagster_module_builder.fitting.storage import DEFAULT_STORAGE
from dagster_module_builder.fitting.target_workspace import (
    STORAGE_VARIABLE,
    Contributions,
    Findings,
    TargetWorkspace,
    load,
)
from dagster_module_builder.modules.hashes import pins
from dagster_module_builder.shared_files.blocks import split_lines
from dagster_module_builder.shared_files.formats import compose, dagster_yaml, dockerfile, env_file, workspace_yaml
from dagster_module_builder.shared_files.formats.outline import UnsafeEditError, outline_of
from dagster_module_builder.shared_files.formats.shared_file import Contribution
from dagster_module_builder.shared_files.formats.yaml_file import refuse_shared
from dagster_module_builder.transactions import module_files

#: The shared files that are no Dockerfiles.
_OTHERS = (workspace_yaml.NAME, env_file.NAME, compose.NAME, dagster_yaml.NAME)
#: A path that a Dockerfile reads as one word.
_PLAIN = re.compile(r"[\w./-]+", re.ASCII)
_NAMES = {"python_package": "package_name", "python_module": "module_name"}


def with_code_server(
    workspace: TargetWorkspace, findings: Findings, module: Path, marker: str, files: Contributions
) -> dict[str, list[Contribution]]:
    """Return a module's contributions, with its code in a separate server.

    Args:
        workspace: The workspace.
        findings: Reasons and notes are added here.
        module: The module's folder.
        marker: Its snake name.
        files: Its contributions, for a shared or for an own server.
    """
    instance = Instance(workspace.instance_data)
    code = _served(workspace, module, marker, files)
    if unknown := server_image.unknown_requirements(module):
        findings.reasons.append(unknown)
    if not _PLAIN.fullmatch(code.source):
        findings.reasons.append(f"its code is in {code.source!r}: only letters, digits and ./_- can be in that path")
    parts = {file: list(contributions) for file, contributions in files.items()}
    sections = {each.path: each for each in parts.get(compose.NAME, ())}
    file = f"{SERVERS}/{marker}.Dockerfile"
    path = workspace.servers / f"{marker}.Dockerfile"
    lines = _service_lines(workspace, findings, instance, code, marker, files, path)
    services = sections.pop(("services",), None)
    others = _without_service(services.mapping or (), f"{marker}_code") if services else ()
    parts[compose.NAME] = [
        Contribution(("services",), mapping=(*others, *(line.encode() for line in lines))),
        *(each for path, each in sections.items() if _stays(workspace, path)),
        *_after_server(workspace, f"{marker}_code"),
    ]
    parts |= {name: [] for name in parts if name not in _OTHERS}
    parts[file] = [Contribution((), mapping=_image_lines(instance, code, marker, files))]
    parts[workspace_yaml.NAME] = [Contribution(workspace_yaml.SLOT, sequence=_entry(marker))]
    return parts


def _stays(workspace: TargetWorkspace, path: Sequence[str]) -> bool:
    """Return whether a contribution is needed beside the server's: a launcher passes variables on to its containers."""
    return path[0] != "services" or (workspace.in_containers and tuple(path[2:]) == ("environment",))


def _entry(marker: str) -> tuple[bytes, ...]:
    lines = ("- grpc_server:", f"    host: {marker}_code", f"    port: {PORT}", f"    location_name: {marker}")
    return tuple(line.encode() for line in lines)


def _served(workspace: TargetWorkspace, module: Path, marker: str, files: Contributions) -> ServedCode:
    for contribution in files.get(workspace_yaml.NAME, ()):
        for item in load(contribution.sequence) or ():
            for kind, target in item.items() if isinstance(item, dict) else ():
                if kind != "grpc_server" and isinstance(target, dict):
                    return _of_entry(workspace, module, kind, target)
    return ServedCode(module, "src", ["--module-name", f"{marker}_dagster.definitions"])


def _of_entry(workspace: TargetWorkspace, module: Path, kind: str, target: Mapping[str, Any]) -> ServedCode:
    host = (workspace.folder / str(target.get("working_directory") or ".")).resolve()
    real = module.resolve()
    source = host.relative_to(real).as_posix() if host.is_relative_to(real) else "."
    named = ["--attribute", str(target["attribute"])] if target.get("attribute") else []
    if kind == "python_file":
        return ServedCode(module, source, ["--python-file", str(target.get("relative_path")), *named])
    return ServedCode(module, source, ["--module-name", str(target.get(_NAMES.get(kind, ""))), *named])


def _without_service(body: Sequence[bytes], name: str) -> tuple[bytes, ...]:
    """Return lines of services without one of them."""
    outline = outline_of(split_lines(b"\n".join(body)))
    key = outline.find((name,))
    if key is None:
        return tuple(body)
    end = outline.after(outline.last_line(key.value), key.column + 1)
    return (*body[: key.line], *body[end:])


def _service_lines(
    workspace: TargetWorkspace,
    findings: Findings,
    instance: Instance,
    code: ServedCode,
    marker: str,
    files: Contributions,
    dockerfile_path: Path,
) -> list[str]:
    image = f"${{COMPOSE_PROJECT_NAME}}-{marker}_code"
    argument = f"{marker.upper()}_PYTHON_IMAGE"
    base = server_image.base_image(workspace.services, code.module)
    locked = pins(module_files.text(code.module, code.module / "constraints.txt") or "")
    reloads = server_image.has_code_server(dict(pin.split("==", 1) for pin in locked))
    context = _context(workspace, code.module)
    variables = _variables(workspace, instance, files)
    folders = [*_storage_folders(workspace, findings, instance), *_own_mounts(workspace, findings, code, marker, files)]
    apart = workspace.served_apart
    user = next((str(each.data["user"]) for each in workspace.services if each.data.get("user")), None)
    user = USER if apart else user
    return [
        f"{marker}_code:",
        f"  image: {image}",
        "  build:",
        f"    context: {json.dumps(context)}",
        f"    dockerfile: {json.dumps(os.path.relpath(dockerfile_path, code.module.absolute()))}",
        "    args:",
        f"      {argument}: {json.dumps(f'${{{argument}:-{base}}}')}",
        f"  command: {server_image.command(code, marker, reloads=reloads)}",
        *([f"  user: {json.dumps(user)}"] if user else []),
        *_env_files(workspace, instance),
        "  environment:",
        f"    DAGSTER_CURRENT_IMAGE: {image}",
        *(f"    {name}: {'' if value is None else json.dumps(value)}".rstrip() for name, value in variables.items()),
        *(["  volumes:", *(f"    - {json.dumps(folder)}" for folder in folders)] if folders else []),
        *(["  networks:", *(f"    - {name}" for name in apart.networks)] if apart else []),
        *_waits(files),
        "  healthcheck:",
        f'    test: ["CMD", "dagster", "api", "grpc-health-check", "--port", "{PORT}"]',
        "    interval: 15s",
        "    timeout: 30s",
        "    start_period: 120s",
        "  restart: unless-stopped",
    ]


def _image_lines(instance: Instance, code: ServedCode, marker: str, files: Contributions) -> tuple[bytes, ...]:
    snippet = [line for each in files.get(dockerfile.NAME, ()) for line in each.mapping or ()]
    lines = server_image.dockerfile(code, f"{marker.upper()}_PYTHON_IMAGE", instance.packages, snippet)
    return tuple(line.encode() for line in lines)


def _context(workspace: TargetWorkspace, module: Path) -> str:
    path = os.path.relpath(module.absolute(), workspace.folder)
    return path if path.startswith("..") else f"./{path}"


def _code_parts(files: Contributions, key: str) -> Contribution | None:
    """Return what a module gives to a key of every service that runs code."""
    parts = (each for each in files.get(compose.NAME, ()) if each.path[:1] == ("services",))
    return next((each for each in parts if each.path[2:] == (key,)), None)


def _variables(workspace: TargetWorkspace, instance: Instance, files: Contributions) -> dict[str, str | None]:
    """Return the server's variables, as Compose is to read them; None for the value of the shell."""
    stated: dict[str, str | None] = {}
    for name in instance.variables:
        owner = next((service for service in workspace.services if name in service.written_environment), None)
        if owner:
            stated[name] = owner.written_environment[name]
        elif name in workspace.stack.env:
            stated[name] = f"${{{name}}}"
    for contribution in files.get(env_file.NAME, ()):
        names = env_file.keys(b"\n".join(contribution.mapping or ()))
        stated |= {name: f"${{{name}}}" for name in names if not (workspace.served_apart and is_kept_back(name))}
    own = load(part.mapping) if (part := _code_parts(files, "environment")) else None
    store = next(filter(None, (service.variable(STORAGE_VARIABLE) for service in workspace.services)), DEFAULT_STORAGE)
    stated |= {str(name): None if value is None else str(value) for name, value in (own or {}).items()}
    return {**stated, STORAGE_VARIABLE: store}


def _env_files(workspace: TargetWorkspace, instance: Instance) -> list[str]:
    """Return the lines by which the server gets variables of the instance from the services' own files."""
    for service in workspace.services:
        lacking = [name for name in instance.variables if name not in service.written_environment]
        if service.data.get("env_file") and any(name in service.env_files for name in lacking):
            return [f"  env_file: {json.dumps(service.data['env_file'])}"]
    return []


def _storage_folders(workspace: TargetWorkspace, findings: Findings, instance: Instance) -> Iterator[str]:
    """Yield the mounts by which runs in the server write where the services read."""
    home = next(filter(None, (service.variable("DAGSTER_HOME") for service in workspace.services)), None)
    for folder in instance.folders(home) if home else ():
        mounts = (innermost(service.mounts, folder) for service in workspace.services)
        kept = [mount for mount in mounts if mount and mount.lasting and mount.source]
        if kept:
            yield _mounted(workspace, kept[0], folder)
        elif instance.keeps_events_in_files and folder == home:
            findings.reasons.append(
                f"Dagster records runs in files in {folder} of {workspace.services[0].name}, where no code server "
                f"can write: mount a volume there, or set 'storage:' in dagster.yaml to a database server"
            )


def _mounted(workspace: TargetWorkspace, mount: Mount, folder: str) -> str:
    """Return the mount of a folder, as a service has it: of a folder of this machine, only that part."""
    source = mount.source_of(folder) or ""
    if source.startswith("/"):
        path = os.path.relpath(source, workspace.folder)
        return f"{path if path.startswith('..') else f'./{path}'}:{folder}"
    names = {real: name for name, real in workspace.stack.volume_names.items()}
    return f"{names.get(str(mount.source), mount.source)}:{mount.target}"


def _own_mounts(
    workspace: TargetWorkspace, findings: Findings, code: ServedCode, marker: str, files: Contributions
) -> Iterator[str]:
    """Yield the mounts of the module's outputs, and of its code, which is read again without a new image."""
    part = _code_parts(files, "volumes")
    yield from (str(item) for item in (load(part.sequence) if part else None) or ())
    if not workspace.in_containers:
        inside = PurePosixPath(server_image.FOLDER, code.source)
        yield f"{_context(workspace, code.module)}/{code.source}:{inside}:ro"
    store = next(filter(None, (service.variable(STORAGE_VARIABLE) for service in workspace.services)), DEFAULT_STORAGE)
    if "://" not in store:
        yield _outputs(workspace, findings, marker, store)


def _outputs(workspace: TargetWorkspace, findings: Findings, marker: str, store: str) -> str:
    """Return the mount of a module's outputs: where all services keep theirs, else a volume of the module."""
    kept = [mount for service in workspace.services if (mount := innermost(service.mounts, store)) and mount.lasting]
    if len(kept) == len(workspace.services) and not workspace.in_containers and kept[0].source:
        return _mounted(workspace, kept[0], store)
    volume, folder = f"{marker}_storage", f"{store}/{marker}"
    real = f"{workspace.stack.project}_{volume}"
    findings.volumes += [f"{volume}:".encode(), f"  name: {real}".encode()]
    if workspace.in_containers:
        findings.run_mounts.append((real, folder))
    return f"{volume}:{folder}"


def _waits(files: Contributions) -> list[str]:
    part = _code_parts(files, "depends_on")
    waited = load(part.mapping) if part else None
    lines = [
        line
        for service, state in (waited if isinstance(waited, dict) else {}).items()
        if not str(service).endswith("_code")
        for line in (f"    {json.dumps(str(service))}:", f"      condition: {json.dumps(_condition(state))}")
    ]
    return ["  depends_on:", *lines] if lines else []


def _condition(state: object) -> str:
    return str(state.get("condition", "service_started")) if isinstance(state, dict) else "service_started"


def _after_server(workspace: TargetWorkspace, server: str) -> Iterator[Contribution]:
    """Yield what makes the services start after the server: a server that fails keeps none of them from starting."""
    outline = outline_of(split_lines(workspace.stack.read(workspace.paths[compose.NAME]) or b""))
    # https://docs.docker.com/reference/compose-file/services/#long-syntax-1
    lines = (f"{server}:".encode(), b"  condition: service_healthy", b"  required: false")
    for service in workspace.services:
        path = ("services", service.name, "depends_on")
        # Where other services would get it, too, they do without: Dagster tries again.
        with contextlib.suppress(UnsafeEditError):
            refuse_shared(outline, path)
            yield Contribution(path, mapping=lines, sequence=(f"- {server}".encode(),))
