"""A module's database on a host whose Dagster runs in containers: a service of the host's own Compose project. Pure."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.claims.facts import interpolated, published_ports
from dagster_module_builder.compose.service import Service
from dagster_module_builder.compose.stack import Stack
from dagster_module_builder.deploy.model import database_rules
from dagster_module_builder.shared_files.blocks import split_lines
from dagster_module_builder.shared_files.formats import compose, env_file
from dagster_module_builder.shared_files.formats.outline import Outline
from dagster_module_builder.shared_files.formats.shared_file import Contribution
from dagster_module_builder.shared_files.formats.yaml_text import ON_HOST, loaded

#: Where a fragment sees its module's folder.
_MODULE = "../../projects/{name}/"
#: A database there is the module's own: inside a container, no other one can be meant.
_HERE = {"", "127.0.0.1", "localhost", "::1"}
#: What a fragment says for the workspace, and the host has of its own.
_OTHERWISE = ("networks", "depends_on", "volumes")


def service_name(names: ModuleNames) -> str:
    """Return the name of a module's database service."""
    return f"{names.snake}_db"


def database_of(
    fragment: bytes | None, names: ModuleNames, folder: str, env: bytes, allowed: Sequence[str] = ()
) -> dict[str, Any] | None:
    """Return a module's database as a host's Compose project is to have it, for the release's record.

    Args:
        fragment: The module's ``workspace/local/docker-compose.yml``.
        names: The module's names.
        folder: Where the host's Compose project is, below the base path.
        env: The deployment's settings; a database that they place elsewhere is no service of the host's.
        allowed: The settings that the deployment allows it.

    Returns:
        ``name``, ``service`` (without networks), ``volumes``, and ``files``: what the service mounts, by the path
        below the base that it is to have; and what it asks for that nobody allowed. None where the module has no such
        service.
    """
    data = loaded(Path(compose.NAME), fragment or b"")
    services = data.get("services") if isinstance(data, dict) else None
    service = services.get(service_name(names)) if isinstance(services, dict) else None
    if not isinstance(service, dict) or "build" in service or is_elsewhere(env, names):
        return None
    mounts = [_mount(str(volume), names, folder) for volume in service.get("volumes") or ()]
    named = {text.partition(":")[0] for text, _ in mounts}
    volumes = {name: value for name, value in (data.get("volumes") or {}).items() if name in named}
    kept = {key: value for key, value in service.items() if key not in _OTHERWISE}
    asked = {**kept, "volumes": service.get("volumes") or []}
    refused = database_rules.unallowed(names, asked, volumes, env, allowed)
    return {
        "name": service_name(names),
        "service": {**kept, "volumes": [text for text, _ in mounts]},
        "volumes": volumes,
        "files": dict(file for _, file in mounts if file),
        **({database_rules.KEY: refused} if refused else {}),
    }


def is_elsewhere(env: bytes, names: ModuleNames) -> bool:
    """Tell whether settings name another server than the service beside Dagster."""
    there = env_file.values(env).get(f"{names.env_prefix}_DB_HOST", "")
    return there not in {*_HERE, service_name(names)}


def _mount(volume: str, names: ModuleNames, folder: str) -> tuple[str, tuple[str, str] | None]:
    """Return a mount as it is on the host, and the file of the module's that it needs there."""
    source, colon, rest = volume.partition(":")
    inner = source.removeprefix(_MODULE.format(name=names.name))
    if inner == source:
        return volume, None
    place = f"modules/{names.name}/shared/{inner}"
    source = posixpath.relpath(place, folder or ".")
    # Without a dot before it, Compose would take it for the name of a volume.
    return f"{source if source.startswith('..') else f'./{source}'}{colon}{rest}", (place, inner)


def settings(env: bytes, database: Mapping[str, Any] | None, names: ModuleNames) -> bytes:
    """Return the settings that the code gets: the database is reached by its service's name."""
    if database is None:
        return env
    line = f"{names.env_prefix}_DB_HOST='{database['name']}'\n".encode()
    place = re.compile(rf"^{names.env_prefix}_DB_HOST=.*\n?".encode(), re.MULTILINE)
    if place.search(env):
        return place.sub(lambda _: line, env, count=1)
    return (env if not env or env.endswith(b"\n") else env + b"\n") + line


def image(database: Mapping[str, Any], *envs: bytes | None) -> str:
    """Return the database's image, with the variables of the host's ``.env`` and the module's filled in."""
    known = {name: value for env in envs for name, value in env_file.values(env or b"").items()}
    return interpolated(str(database["service"]["image"]), known)


def contributions(database: Mapping[str, Any] | None, text: bytes, env: bytes) -> list[Contribution]:
    """Return a database's blocks in the host's compose file.

    Args:
        database: What ``database_of`` returned.
        text: The compose file.
        env: The ``.env`` beside it.
    """
    if database is None:
        return []
    code = services_with_code(text, env)
    networks = list(dict.fromkeys(network for one in code for network in one.data.get("networks") or ()))
    service = {**database["service"], **({"networks": networks} if networks else {})}
    healthy = {database["name"]: {"condition": "service_healthy" if "healthcheck" in service else "service_started"}}
    given = [Contribution(("services",), mapping=_lines({database["name"]: service}))]
    if database["volumes"]:
        given.append(Contribution(("volumes",), mapping=_lines(database["volumes"])))
    items = (f"- {database['name']}".encode(),)
    return given + [Contribution(("services", one.name, "depends_on"), _lines(healthy), items) for one in code]


def services_with_code(text: bytes, env: bytes) -> list[Service]:
    """Return the services of a host's compose file that load modules' code."""
    data = loaded(Path(compose.NAME), text, ON_HOST)
    stack = Stack(Path(), data if isinstance(data, dict) else {}, env_file.values(env), lambda _: None)
    return [one for one in stack.services.values() if one.loads_code or one.seems_to_load_code]


def _lines(data: Mapping[str, Any]) -> tuple[bytes, ...]:
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=1 << 20)
    # A volume without options is written as people write it.
    return tuple(re.sub(r": null$", ":", line).encode() for line in text.splitlines())


def conflicts(text: bytes, env: bytes) -> list[str]:
    """Return what a host's compose file would have twice: services, volumes, ports."""
    outline = Outline(split_lines(text))
    kinds = {"services": "service", "volumes": "volume"}
    keys = Counter(key.path for key in outline.keys if len(key.path) == 2 and key.path[0] in kinds)
    reasons = [f"the {kinds[path[0]]} {path[1]} would be there twice" for path, count in keys.items() if count > 1]
    data = loaded(Path(compose.NAME), text, ON_HOST)
    ports = Counter(published_ports(data.get("services") if isinstance(data, dict) else None, env_file.values(env)))
    return reasons + [f"two services would publish the port {port}" for port, count in ports.items() if count > 1]


def compose_path(folder: str, there: Iterable[str]) -> str:
    """Return where a host's compose file is, of the names that Compose looks for, in its order."""
    held = set(there)
    candidates = compose_paths(folder)
    return next((path for path in candidates if path in held), candidates[2])


def compose_paths(folder: str) -> list[str]:
    """Return where a compose file may be (https://docs.docker.com/compose/intro/compose-application-model/)."""
    names = ("compose.yaml", "compose.yml", compose.NAME, "docker-compose.yaml")
    return [name if folder in {"", "."} else f"{folder}/{name}" for name in names]
