"""A module's database on a host whose Dagster runs in containers: a service of the host's Compose project. Pure."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from dagster_module_builder.base.errors import RefusedError
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
#: With one of these hosts, the database is the module's own: inside a container it can be no other one.
_HERE = {"", "127.0.0.1", "localhost", "::1"}
#: Keys of a fragment that are for the workspace only; the host has its own.
_OTHERWISE = ("networks", "depends_on", "volumes")


def service_name(names: ModuleNames) -> str:
    """Return the name of a module's database service."""
    return f"{names.snake}_db"


def database_of(
    fragment: bytes | None, names: ModuleNames, folder: str, env: bytes, allowed: Sequence[str] = ()
) -> dict[str, Any] | None:
    """Return a module's database as a service of the host's Compose project, for the release's record.

    Args:
        fragment: The module's ``workspace/local/docker-compose.yml``.
        names: The module's names.
        folder: The folder of the host's Compose project, below the base path.
        env: The deployment's settings; they may name a database on another server.
        allowed: The settings that the deployment allows.

    Returns:
        ``name``, ``service`` (without networks), ``volumes``, and ``files``: what the service mounts, by its path below
        the base; and ``unallowed``: settings that are not allowed. None if the module has no such service.
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
    """Tell whether settings name a database server other than the service beside Dagster."""
    server = env_file.values(env).get(f"{names.env_prefix}_DB_HOST", "")
    return server not in {*_HERE, service_name(names)}


def _mount(volume: str, names: ModuleNames, folder: str) -> tuple[str, tuple[str, str] | None]:
    """Return a mount as it is on the host, and the module's file that it needs there; None for other mounts."""
    source, colon, rest = volume.partition(":")
    inner = source.removeprefix(_MODULE.format(name=names.name))
    if inner == source:
        return volume, None
    place = f"modules/{names.name}/shared/{inner}"
    source = posixpath.relpath(place, folder or ".")
    # Without a leading dot, Compose would take it for the name of a volume.
    return f"{source if source.startswith('..') else f'./{source}'}{colon}{rest}", (place, inner)


def settings(env: bytes, database: Mapping[str, Any] | None, names: ModuleNames) -> bytes:
    """Return the settings for the code, with the service's name as the database's host."""
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
    networks = list(dict.fromkeys(network for service in code for network in service.data.get("networks") or ()))
    database_service = {**database["service"], **({"networks": networks} if networks else {})}
    healthy = {
        database["name"]: {"condition": "service_healthy" if "healthcheck" in database_service else "service_started"}
    }
    blocks = [Contribution(("services",), mapping=_lines({database["name"]: database_service}))]
    if database["volumes"]:
        blocks.append(Contribution(("volumes",), mapping=_lines(database["volumes"])))
    items = (f"- {database['name']}".encode(),)
    return blocks + [Contribution(("services", service.name, "depends_on"), _lines(healthy), items) for service in code]


def services_with_code(text: bytes, env: bytes) -> list[Service]:
    """Return the services of a host's compose file that load modules' code.

    Raises:
        RefusedError: They take no releases.
    """
    data = loaded(Path(compose.NAME), text, ON_HOST)
    stack = Stack(
        Path(), data if isinstance(data, dict) else {}, env_file.values(env), lambda _: None, Path(env_file.NAME)
    )
    if any(service.serves_modules for service in stack.services.values()):
        raise RefusedError(
            "The Dagster of the host keeps modules apart, as 'workspace.init' makes it, and takes no releases. "
            "Use a folder without a Dagster, and run 'deploy.setup' once; or 'workspace.init --isolation none'."
        )
    return [service for service in stack.services.values() if service.loads_code or service.seems_to_load_code]


def _lines(data: Mapping[str, Any]) -> tuple[bytes, ...]:
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=1 << 20)
    # A volume without options is written without "null".
    return tuple(re.sub(r": null$", ":", line).encode() for line in text.splitlines())


def conflicts(text: bytes, env: bytes) -> list[str]:
    """Return a problem for each service, volume or port that a host's compose file would have twice."""
    outline = Outline(split_lines(text))
    kinds = {"services": "service", "volumes": "volume"}
    keys = Counter(key.path for key in outline.keys if len(key.path) == 2 and key.path[0] in kinds)
    reasons = [f"the {kinds[path[0]]} {path[1]} would exist twice" for path, count in keys.items() if count > 1]
    data = loaded(Path(compose.NAME), text, ON_HOST)
    ports = Counter(published_ports(data.get("services") if isinstance(data, dict) else None, env_file.values(env)))
    return reasons + [f"two services would publish the port {port}" for port, count in ports.items() if count > 1]


def compose_path(folder: str, present: Iterable[str]) -> str:
    """Return the path of a host's compose file: the first of those present, or the default."""
    held = set(present)
    candidates = compose_paths(folder)
    return next((path for path in candidates if path in held), candidates[2])


def compose_paths(folder: str) -> list[str]:
    """Return the possible paths, as Compose tries them (https://docs.docker.com/compose/intro/compose-application-model/)."""
    names = ("compose.yaml", "compose.yml", compose.NAME, "docker-compose.yaml")
    return [name if folder in {"", "."} else f"{folder}/{name}" for name in names]
