"""How a module is fitted into a workspace that need not be of our own making.

A fragment is written for the workspace that our template makes. In any other one, the services that run code may see
the module's folder at another path or not at all, store outputs where they vanish, or not get the module's variables.
What is missing is added to the module's own blocks; what cannot be added is a reason to refuse the module.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from dagster_module_builder.blocks import split_lines
from dagster_module_builder.errors import ConflictError
from dagster_module_builder.fit_image import fitted_snippet
from dagster_module_builder.formats import compose, dagster_yaml, dockerfile, env_file, workspace_yaml
from dagster_module_builder.formats.dagster_yaml import Launcher
from dagster_module_builder.formats.outline import KeyPath, Outline
from dagster_module_builder.formats.shared_file import Contribution
from dagster_module_builder.stack import DEFAULT_NETWORK, Mount, Service, Stack, innermost

STORAGE_VARIABLE = "DAGSTER_STORAGE_DIR"
DEFAULT_STORAGE = "/tmp/dagster_storage"  # noqa: S108 - a path in containers, where a volume is mounted

#: Where a module's folder is mounted in containers that do not see it yet.
_PLACES = ("/workspace", "/opt/dagster/modules_code")

_WORKING_DIRECTORY = re.compile(rb"^(\s*(?:- )?working_directory:\s*)(\S.*?)(\s*)$")
_PLAIN_PATH = re.compile(r"[\w./-]+")
_CODE_OPTIONS = ("-m", "--module-name", "-f", "--python-file", "--package-name", "-a", "--attribute")

Contributions = Mapping[str, Sequence[Contribution]]


@dataclass(frozen=True)
class Surroundings:
    """What a module is fitted into.

    Attributes:
        root: The workspace's root.
        stack: The compose project.
        code_services: The services that run the code of modules.
        launcher: What starts the runs.
        workspace_data: The owner's part of ``workspace.yaml``, as data.
    """

    root: Path
    stack: Stack
    code_services: Sequence[str]
    launcher: Launcher
    workspace_data: Any = None

    @cached_property
    def services(self) -> list[Service]:
        """The services that run the code of modules."""
        return [self.stack.services[name] for name in self.code_services]

    @property
    def in_containers(self) -> bool:
        """Whether each run has a container of its own."""
        return self.launcher.kind == dagster_yaml.DOCKER

    @cached_property
    def run_mounts(self) -> tuple[Mount, ...]:
        """What is mounted into the containers of runs."""
        return tuple(Mount(source, target, mode != "ro") for source, target, mode in self.launcher.volumes)

    @cached_property
    def common(self) -> Findings:
        """What is found alike for every module whose code the services load."""
        findings = Findings()
        _workspace_files(self, findings)
        _runs(self, findings)
        return findings

    @cached_property
    def storage(self) -> Storage:
        """Where these services store outputs."""
        return _storage_of(self)

    @cached_property
    def networks(self) -> tuple[list[str], Findings]:
        """The networks through which they, and runs in containers, reach a service; and why there may be none."""
        findings = Findings()
        return _shared_networks(self, findings), findings


@dataclass(frozen=True)
class Storage:
    """Where the services that run code store outputs.

    Attributes:
        reasons: Why a module cannot store there.
        lacking: The folder in the containers, where it does not last or is not shared.
    """

    reasons: Sequence[str] = ()
    lacking: str | None = None


@dataclass
class Findings:
    """What is found while a module is fitted.

    Attributes:
        reasons: Why it cannot be.
        notes: What to know when it is.
        mounts: What is mounted additionally, by service.
        run_mounts: What is mounted additionally into the containers of runs.
        variables: Which variables are passed additionally, by service.
        volumes: Which volumes are made additionally, with their definition's lines.
    """

    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    mounts: dict[str, list[str]] = field(default_factory=dict)
    run_mounts: list[tuple[str, str]] = field(default_factory=list)
    variables: dict[str, list[str]] = field(default_factory=dict)
    volumes: list[bytes] = field(default_factory=list)

    def mount(self, service: str, source: str, target: str) -> None:
        """Mount something into a service."""
        self.mounts.setdefault(service, []).append(f"{source}:{target}")


def fitted(around: Surroundings, module: Path, marker: str, given: Contributions) -> tuple[Contributions, list[str]]:
    """Return what a module gives to this workspace's files, and what to know of it.

    Args:
        around: The workspace.
        module: The module's folder.
        marker: Its snake name.
        given: What its fragments give, as they are written.

    Raises:
        ConflictError: It could be put in, but would not work; names every reason.
    """
    findings = Findings()
    files = {file: list(contributions) for file, contributions in given.items()}
    entries = _entries(files)
    if any(kind != "grpc_server" for kind, _ in entries):
        paths = _locations(around, findings, entries)
        files[workspace_yaml.NAME] = [_relocated(one, paths) for one in files[workspace_yaml.NAME]]
        storage = _storage(around, findings, marker)
        _variables(around, findings, env_file.keys(_body(files.get(env_file.NAME, ()))))
        files[dockerfile.NAME] = _image(around, findings, module, files.get(dockerfile.NAME, ()), paths, storage)
        findings.reasons += around.common.reasons
        findings.notes += around.common.notes
    files[compose.NAME] = _with_additions(around, findings, _networked(around, findings, files.get(compose.NAME, ())))
    _repeated_variables(around, findings, given.get(compose.NAME, ()))
    files[dagster_yaml.NAME] = _for_runs(around, findings, files)
    if findings.reasons:
        raise ConflictError([f"{module.name}: {reason}" for reason in findings.reasons])
    return files, findings.notes


def _body(contributions: Iterable[Contribution]) -> bytes:
    return b"\n".join(line for one in contributions for line in one.mapping or one.sequence or ())


def _load(lines: Iterable[bytes] | None) -> Any:
    try:
        return yaml.load(b"\n".join(lines or ()), Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        # Whoever reads the facts of the fragment says so, with its name.
        return None


def _entries(files: Contributions) -> list[tuple[str, Any]]:
    items = [item for one in files.get(workspace_yaml.NAME, ()) for item in _load(one.sequence) or ()]
    return [pair for item in items if isinstance(item, dict) for pair in item.items()]


# The module's folder.


def _locations(around: Surroundings, findings: Findings, entries: Sequence[tuple[str, Any]]) -> dict[str, str]:
    """Return the paths that code is loaded from in the containers, by what the fragment says, where the two differ."""
    paths: dict[str, str] = {}
    for _, target in entries:
        given = target.get("working_directory") if isinstance(target, dict) else None
        if not given or str(given).startswith("/") or str(given) in paths:
            continue
        path = _path_in_containers(around, findings, os.path.normpath(around.stack.folder / str(given)), str(given))
        as_it_is = (posixpath.normpath(posixpath.join(one.working_dir or "?", str(given))) for one in around.services)
        paths[str(given)] = str(given) if all(path == found for found in as_it_is) else path
    return {given: path for given, path in paths.items() if given != path}


def _path_in_containers(around: Surroundings, findings: Findings, host: str, given: str) -> str:
    seen = {service.name: _seen_at(around, service, host) for service in around.services}
    found = set(filter(None, seen.values()))
    path = found.pop() if len(found) == 1 else _free_place(around) + "/" + os.path.relpath(host, around.root)
    for service in around.services:
        if seen[service.name] != path:
            _refuse_read_only(findings, service, path)
            findings.mount(service.name, given, path)
    inside = innermost(around.run_mounts, path)
    if around.in_containers and (inside is None or inside.source_of(path) != host):
        findings.run_mounts.append((host, path))
    return path


def _seen_at(around: Surroundings, service: Service, host: str) -> str | None:
    mounts = [*service.mounts, *_inferred(around, service)]
    shown = ((mount, mount.target_of(host)) for mount in mounts)
    paths = [path for mount, path in shown if path and innermost(mounts, path) is mount]
    return min(paths, key=len, default=None)


def _inferred(around: Surroundings, service: Service) -> list[Mount]:
    """Return what mounts whose source is not known show, as the locations that are there already tell."""
    data = around.workspace_data if isinstance(around.workspace_data, dict) else {}
    targets = [target for item in data.get("load_from") or () if isinstance(item, dict) for target in item.values()]
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


def _refuse_read_only(findings: Findings, service: Service, path: str) -> None:
    inside = innermost(service.mounts, path)
    if inside and not inside.writable:
        findings.reasons.append(
            f"{service.name} mounts {inside.target} read-only, so nothing can be mounted at {path} in it: "
            f"take ':ro' away from that mount"
        )


def _relocated(contribution: Contribution, paths: Mapping[str, str]) -> Contribution:
    if not paths:
        return contribution
    body = tuple(_relocated_line(line, paths) for line in contribution.sequence or ())
    return Contribution(contribution.path, sequence=body)


def _relocated_line(line: bytes, paths: Mapping[str, str]) -> bytes:
    found = _WORKING_DIRECTORY.match(line)
    path = paths.get(str(_load([found[2]]))) if found else None
    if found is None or path is None:
        return line
    return found[1] + (path if _PLAIN_PATH.fullmatch(path) else json.dumps(path)).encode() + found[3]


# The outputs.


def _storage(around: Surroundings, findings: Findings, marker: str) -> list[str]:
    """See to it that outputs last and are shared; return the folders in containers that were added for it."""
    findings.reasons += around.storage.reasons
    folder = around.storage.lacking
    return [] if folder is None else _own_volume(around, findings, marker, folder)


def _storage_of(around: Surroundings) -> Storage:
    stores = {service.variable(STORAGE_VARIABLE) or DEFAULT_STORAGE for service in around.services}
    if len(stores) != 1:
        return Storage(
            [f"the services that run code store in {' and in '.join(sorted(stores))}: set one {STORAGE_VARIABLE}"]
        )
    store = stores.pop()
    if "://" in store:
        return Storage()
    if around.launcher.kind not in {dagster_yaml.LOCAL, dagster_yaml.DOCKER}:
        vanishing = f"{around.launcher.kind} starts runs where outputs in {store} would vanish"
        return Storage([f"{vanishing}: set {STORAGE_VARIABLE} to object storage"])
    mounts = [service.mounts for service in around.services] + ([around.run_mounts] if around.in_containers else [])
    folder = posixpath.normpath(store)
    return Storage() if _is_shared(mounts, folder) else Storage(lacking=folder)


def _is_shared(mounts: Sequence[Sequence[Mount]], path: str) -> bool:
    inside = [innermost(one, path) for one in mounts]
    sources = {mount.source_of(path) if mount and mount.writable and mount.lasting else None for mount in inside}
    return len(sources) == 1 and None not in sources


def _own_volume(around: Surroundings, findings: Findings, marker: str, store: str) -> list[str]:
    # A volume for all modules would belong to none of their blocks. An asset's key begins with its module's name, so
    # the outputs of one module lie in one folder below the store, and that folder can be the module's own volume.
    volume, folder = f"{marker}_storage", f"{store}/{marker}"
    for service in around.services:
        _refuse_read_only(findings, service, folder)
        findings.mount(service.name, volume, folder)
    findings.volumes.append(f"{volume}:".encode())
    if around.in_containers:
        # The launcher knows the engine's names only, so this one may not depend on how Compose is called.
        real = f"{around.stack.project}_{volume}"
        findings.volumes.append(f"  name: {real}".encode())
        findings.run_mounts.append((real, folder))
    return [store, folder]


# The variables.


def _variables(around: Surroundings, findings: Findings, names: Sequence[str]) -> None:
    for service in around.services:
        if service.takes_env_file:
            continue
        missing = [name for name in dict.fromkeys(names) if name not in service.environment]
        if missing:
            findings.variables[service.name] = missing


def _repeated_variables(around: Surroundings, findings: Findings, given: Iterable[Contribution]) -> None:
    names: dict[tuple[bytes, ...], set[str]] = {}
    for one in given:
        if one.path[:1] == ("services",) and one.path[2:] == ("environment",) and one.mapping:
            if one.mapping not in names:
                names[one.mapping] = set(_load(one.mapping) or ())
            twice = names[one.mapping] & set(around.stack.services[one.path[1]].environment)
            findings.reasons.extend(f"{one.path[1]} sets {name} already: take it out there" for name in sorted(twice))


# The image.


def _image(
    around: Surroundings,
    findings: Findings,
    module: Path,
    given: Sequence[Contribution],
    paths: Mapping[str, str],
    storage: Sequence[str],
) -> list[Contribution]:
    if not given:
        return []
    shared = around.stack.folder / dockerfile.NAME
    built = [service for service in around.services if service.data.get("build") or service.dockerfile]
    reasons = [reason for service in built if (reason := _reason_against_image(service, shared))]
    findings.reasons.extend(dict.fromkeys(reasons))
    findings.notes.extend(
        f"{service.name} runs {service.image_name}, which is not built here: build it with the requirements of {module.name} in it."
        for service in around.services
        if service not in built
    )
    if reasons or not built:
        return list(given) if reasons or around.stack.read(shared) is not None else []
    slot = built[0].image_of.shared_slot([service.target for service in built]) if built[0].image_of else ()
    if slot is None:
        stages = " and ".join(sorted({str(service.target) for service in built}))
        findings.reasons.append(
            f"the services that run code are built from the stages {stages} of {shared}, which have no named stage in common: "
            f"let both begin with one, where the modules' requirements can go"
        )
        return list(given)
    replaced = {_template_path(around, host): path for host, path in paths.items()}
    kept = () if all(service.runs_as_root for service in built) else storage
    body = fitted_snippet(
        built, slot, module, given[0].mapping or (), replaced, kept, around.stack.read, findings.reasons
    )
    return [Contribution(slot, mapping=body)]


def _template_path(around: Surroundings, given: str) -> str:
    """Return the path that the snippet has for the folder that the location entry names."""
    return "/workspace/" + os.path.relpath(os.path.normpath(around.stack.folder / given), around.root)


def _reason_against_image(service: Service, shared: Path) -> str | None:
    start = re.match(r"(uv|poetry|pdm|pipenv|hatch|conda) run\b", service.command)
    if start:
        return (
            f"{service.name} starts by '{start[0]}', from an environment that the Dockerfile's lines do not install into: "
            f"put that environment's bin/ first in PATH, and start Dagster directly"
        )
    if service.dockerfile is None:
        return f"{service.name} is built from no Dockerfile of this machine, and the modules' requirements go to {shared}: build it from that one"
    if service.dockerfile != shared:
        return (
            f"{service.name} is built from {service.dockerfile}, and the modules' requirements go to {shared}: "
            f"make that one the Dockerfile of every service that runs code"
        )
    if service.image_of is None:
        return f"{shared} does not exist, and {service.name} is built from it"
    return None


# The workspace file.


def _workspace_files(around: Surroundings, findings: Findings) -> None:
    for service in around.services:
        if not service.starts_dagster:
            continue
        given = service.option("-w", "--workspace")
        code = next((option for option in _CODE_OPTIONS if service.option(option) is not None), None)
        if given is None and code:
            findings.reasons.append(
                f"{service.name} starts with {code}, so it does not read workspace.yaml: start it with '-w workspace.yaml', "
                f"and enter its own code there"
            )
        elif "$" not in (given or ""):
            _workspace_file(around, findings, service, given or workspace_yaml.NAME)


def _workspace_file(around: Surroundings, findings: Findings, service: Service, given: str) -> None:
    ours = str(around.stack.folder / workspace_yaml.NAME)
    if not given.startswith("/") and service.working_dir is None:
        return
    path = posixpath.normpath(posixpath.join(service.working_dir or "/", given))
    inside = innermost(service.mounts, path)
    if inside and inside.source and inside.source.startswith("/"):
        read = inside.source_of(path)
        if read != ours and os.path.realpath(str(read)) != os.path.realpath(ours):
            findings.reasons.append(f"{service.name} reads {read}, not {ours}: mount that one at {path}")
        elif read == inside.source:
            findings.notes.append(f"{service.name} mounts workspace.yaml singly: restart it to have it read.")
    elif inside is None and service.image_of and service.context:
        _built_in(findings, service, ours)


def _built_in(findings: Findings, service: Service, ours: str) -> None:
    copied = service.image_of.copied(service.target) if service.image_of else []
    sources = [os.path.normpath(f"{service.context}/{source}") for source, _ in copied]
    if any(ours == source or ours.startswith(source + "/") or _has_wildcard(source) for source in sources):
        findings.notes.append(f"{service.name} has workspace.yaml in its image: build it anew to have it read.")
    else:
        findings.reasons.append(
            f"nothing brings {ours} into {service.name}: mount its folder there, and name it with '-w'"
        )


def _has_wildcard(source: str) -> bool:
    return "*" in source or "?" in source or "$" in source


# The runs.


def _runs(around: Surroundings, findings: Findings) -> None:
    """See to it that a launcher's containers are made from an image that has the module's requirements."""
    if not around.in_containers:
        return
    built = {name for service in around.services for name in _image_names(around, service)}
    for service in around.services:
        image = service.variable("DAGSTER_CURRENT_IMAGE") or around.launcher.image
        if image is None:
            findings.reasons.append(
                f"{dagster_yaml.DOCKER} has no image for runs of code that {service.name} loads: set 'image:' in "
                f"run_launcher.config of dagster.yaml to the image of {service.name}"
            )
        elif image not in built:
            findings.reasons.append(
                f"{dagster_yaml.DOCKER} starts runs in {image}, which has not the module's requirements: use the image of {service.name}"
            )


def _image_names(around: Surroundings, service: Service) -> set[str]:
    name = service.image_name
    own = {f"{around.stack.project}-{service.name}", f"{around.stack.project}_{service.name}"}
    names = {name, name.removesuffix(":latest"), f"{name}:latest"} if name else own
    return {*names, *(f"{one}:latest" for one in own if not name)}


def _for_runs(around: Surroundings, findings: Findings, files: Contributions) -> list[Contribution]:
    if not around.in_containers:
        return []
    needed = env_file.keys(_body(files.get(env_file.NAME, ())))
    for one in files.get(compose.NAME, ()):
        if one.path[:1] == ("services",) and one.path[2:] == ("environment",):
            needed += list(_load(one.mapping) or ())
    if any(service.variable(STORAGE_VARIABLE) for service in around.services):
        needed.append(STORAGE_VARIABLE)
    names = [name for name in dict.fromkeys(needed) if name not in around.launcher.env_vars]
    return dagster_yaml.contributions(names, findings.run_mounts)


# The compose file.


def _with_additions(around: Surroundings, findings: Findings, given: Sequence[Contribution]) -> list[Contribution]:
    added = list(given)
    for service in around.services:
        names = findings.variables.get(service.name, ())
        if names:
            pairs = [f"{name}: ${{{name}}}" for name in names], [f"- {name}=${{{name}}}" for name in names]
            added.append(_contribution(("services", service.name, "environment"), *pairs))
        mounts = findings.mounts.get(service.name, ())
        if mounts:
            added.append(_contribution(("services", service.name, "volumes"), None, [f"- {mount}" for mount in mounts]))
    if findings.volumes:
        added.append(Contribution(("volumes",), mapping=tuple(findings.volumes)))
    return united(added)


def _contribution(path: KeyPath, mapping: Iterable[str] | None, sequence: Iterable[str]) -> Contribution:
    keys = None if mapping is None else tuple(line.encode() for line in mapping)
    return Contribution(path, keys, tuple(line.encode() for line in sequence))


def united(given: Iterable[Contribution]) -> list[Contribution]:
    """Make one contribution of several to the same slot."""
    by_path: dict[KeyPath, Contribution] = {}
    for one in given:
        there = by_path.get(one.path)
        by_path[one.path] = (
            one
            if there is None
            else Contribution(one.path, _sum(there.mapping, one.mapping), _sum(there.sequence, one.sequence))
        )
    return list(by_path.values())


def _sum(first: tuple[bytes, ...] | None, second: tuple[bytes, ...] | None) -> tuple[bytes, ...] | None:
    return None if first is None or second is None else first + second


# The networks and volumes of the module's own services.


def _networked(around: Surroundings, findings: Findings, given: Sequence[Contribution]) -> list[Contribution]:
    services = next((one for one in given if one.path == ("services",)), None)
    data = _load(services.mapping) if services else None
    if services is None or not isinstance(data, dict):
        return list(given)
    own = {one.path[0]: _load(one.mapping) or {} for one in given if one.path in {("volumes",), ("networks",)}}
    _undefined_volumes(around, findings, data, own.get("volumes", {}))
    known = {*around.stack.network_names, *own.get("networks", {})}
    unknown = {str(network) for service in data.values() for network in service.get("networks") or ()} - known
    shared, found = around.networks
    findings.reasons += found.reasons
    apart = [service for service in data.values() if not set(service) & {"networks", "network_mode", "extends"}]
    body = services.mapping or ()
    if shared and (unknown or (apart and shared != [DEFAULT_NETWORK])):
        body = _joining(body, unknown, shared)
        data = _load(body)
    _refuse_unreachable(around, findings, data, own.get("networks", {}))
    return [Contribution(one.path, mapping=body) if one is services else one for one in given]


def _undefined_volumes(
    around: Surroundings, findings: Findings, data: Mapping[str, Any], own: Mapping[str, Any]
) -> None:
    defined = {*around.stack.volume_names, *own}
    for name, service in data.items():
        for entry in service.get("volumes") or ():
            source = str(entry.get("source", "") if isinstance(entry, dict) else entry.partition(":")[0])
            if source and re.fullmatch(r"[A-Za-z0-9][\w.-]*", source) and source not in defined:
                findings.reasons.append(
                    f"its service {name} mounts the volume {source}, which this workspace does not have: add it there, or make the "
                    f"module with a shared code server"
                )


def _shared_networks(around: Surroundings, findings: Findings) -> list[str]:
    """Return the networks through which all services that run code, and runs in containers, reach a service."""
    if any(service.data.get("network_mode") for service in around.services):
        modes = " and ".join(service.name for service in around.services if service.data.get("network_mode"))
        findings.reasons.append(
            f"{modes} has a 'network_mode:', so the names of the module's services mean nothing to it: use 'networks:'"
        )
        return []
    sets = [set(service.networks) for service in around.services]
    common = sorted(set.intersection(*sets)) if sets else []
    preferred = [name for name in common if around.stack.network_names.get(name) in around.launcher.networks]
    chosen = (preferred or common)[:1] or list(dict.fromkeys(service.networks[0] for service in around.services))
    return _reaching_runs(around, findings, chosen) if around.in_containers else chosen


def _reaching_runs(around: Surroundings, findings: Findings, chosen: list[str]) -> list[str]:
    real = around.stack.network_names
    if any(real.get(name) in around.launcher.networks for name in chosen):
        return chosen
    found = [name for name, engine_name in real.items() if engine_name in around.launcher.networks]
    if not found:
        findings.reasons.append(
            f"{dagster_yaml.DOCKER} starts runs in {', '.join(around.launcher.networks) or 'no network of the compose file'}, where the "
            f"module's services are not: set 'network:' in run_launcher.config of dagster.yaml to {real.get(chosen[0]) if chosen else 'theirs'}"
        )
    return [*chosen, *found[:1]]


def _joining(body: Sequence[bytes], unknown: set[str], networks: Sequence[str]) -> tuple[bytes, ...]:
    """Let services join these networks, where they name ones that are not there, or none at all."""
    outline = Outline(split_lines(b"\n".join(body)))
    lines: list[list[bytes]] = [[line] for line in body]
    for key in outline.keys:
        if len(key.path) == 1 and _joins_nothing(key.value) and list(networks) != [DEFAULT_NETWORK]:
            margin = " " * outline.column(key.value)
            lines[key.line] += [f"{margin}networks:".encode(), *(f"{margin}  - {name}".encode() for name in networks)]
        elif len(key.path) == 2 and key.path[1] == "networks" and isinstance(key.value, yaml.SequenceNode):
            for item in (item for item in key.value.value if item.value in unknown):
                at = outline.line(item)
                lines[at] = _renamed(
                    body[at], outline.column(item), item.value, networks, flow=bool(key.value.flow_style)
                )
    return tuple(line for group in lines for line in group)


def _joins_nothing(service: yaml.Node) -> bool:
    if not isinstance(service, yaml.MappingNode) or service.flow_style:
        return False
    return not {str(key.value) for key, _ in service.value} & {"networks", "network_mode", "<<", "extends"}


def _renamed(line: bytes, column: int, old: str, new: Sequence[str], *, flow: bool) -> list[bytes]:
    text = line.decode()
    head, tail = text[:column], text[column + len(old) :]
    names = [", ".join(new)] if flow else new
    return [f"{head}{name}{tail}".encode() for name in names]


def _refuse_unreachable(around: Surroundings, findings: Findings, data: Any, own: Mapping[str, Any]) -> None:
    known = {*around.stack.network_names, *own}
    for name, service in (data or {}).items():
        joined = list(service.get("networks") or (DEFAULT_NETWORK,))
        findings.reasons.extend(
            f"its service {name} joins the network {network}, which this workspace does not have"
            for network in joined
            if network not in known
        )
        findings.reasons.extend(
            f"{one.name} joins no network of the module's service {name}: let it join {', '.join(map(str, joined))}"
            for one in around.services
            if not set(joined) & set(one.networks) and not one.data.get("network_mode")
        )
