"""What a module claims in the workspace: services, volumes, locations, ports, variables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import yaml

from dagster_module_builder.shared_files.formats import compose, env_file, workspace_yaml
from dagster_module_builder.shared_files.formats.outline import KeyPath

#: ``${NAME}``, ``${NAME:-default}`` and ``$NAME`` as Compose interpolates them; ``$$`` is a plain dollar.
_VARIABLE = re.compile(r"\$\$|\$\{(\w+)([^}]*)\}|\$(\w+)")
#: Where such a variable begins; the word after its name may have others.
_REFERENCE = re.compile(r"\$\$|\$\{(\w+)|\$(\w+)")

_SERVICES, _VOLUMES, _NETWORKS = ("services",), ("volumes",), ("networks",)


@dataclass(frozen=True)
class Facts:
    """What one owner claims; a name that it claims twice is in a tuple twice.

    Attributes:
        services: Names of Compose services.
        volumes: Names of Compose volumes.
        networks: Names of Compose networks.
        locations: Names of code locations.
        env: Variables set in ``.env``.
        ports: Published host ports.
        uses: Variables used without a default.
    """

    services: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    uses: tuple[str, ...] = ()

    def to_json(self) -> dict[str, list[Any]]:
        """Return the form in which the registry stores it."""
        return {key: list(value) for key, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, data: Mapping[str, Iterable[Any]]) -> Facts:
        """Read the form in which the registry stores it."""
        return cls(**{key: tuple(data[key]) for key in cls.__dataclass_fields__ if key in data})


#: A module's blocks: by file name and slot, the body's lines.
Bodies = Mapping[tuple[str, KeyPath], Iterable[bytes]]


def facts_of_bodies(bodies: Bodies, workspace_env: Mapping[str, str]) -> Facts:
    """Return what a module's blocks claim.

    Args:
        bodies: Its blocks.
        workspace_env: The variables that the workspace itself sets.

    Raises:
        yaml.YAMLError: A block is not valid YAML.
    """
    own_env = b"\n".join(bodies.get((env_file.NAME, ()), ()))
    services = _loaded(bodies, compose.NAME, _SERVICES) or {}
    items = _loaded(bodies, workspace_yaml.NAME, workspace_yaml.SLOT) or []
    return Facts(
        services=tuple(map(str, services)),
        volumes=tuple(map(str, _loaded(bodies, compose.NAME, _VOLUMES) or ())),
        networks=tuple(map(str, _loaded(bodies, compose.NAME, _NETWORKS) or ())),
        locations=tuple(location_names(items)),
        env=tuple(env_file.keys(own_env)),
        ports=tuple(published_ports(services, {**workspace_env, **env_file.values(own_env)})),
        uses=tuple(sorted(_used(bodies))),
    )


def facts_of_workspace(compose_data: Any, workspace_data: Any, env_text: bytes) -> Facts:
    """Return what the workspace's own lines claim."""
    data = compose_data if isinstance(compose_data, dict) else {}
    services = _mapping(data.get("services"))
    entries = workspace_data.get("load_from") if isinstance(workspace_data, dict) else None
    return Facts(
        services=tuple(map(str, services)),
        volumes=tuple(map(str, _mapping(data.get("volumes")))),
        networks=tuple(map(str, _mapping(data.get("networks")))),
        locations=tuple(location_names(entries or [])),
        env=tuple(env_file.keys(env_text)),
        ports=tuple(published_ports(services, env_file.values(env_text))),
    )


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, dict) else {}


@lru_cache(maxsize=64)
def load_lines(lines: tuple[bytes, ...]) -> Any:
    """Return the values of lines of YAML. They are cached, so callers must not change them.

    Raises:
        yaml.YAMLError: The lines are not valid YAML.
    """
    # Their depth was checked when their outline was made.
    return yaml.load(b"\n".join(lines), Loader=yaml.CSafeLoader)  # noqa: TID251


def _loaded(bodies: Bodies, file: str, slot: KeyPath) -> Any:
    lines = bodies.get((file, slot))
    return load_lines(tuple(lines)) if lines else None


def location_names(entries: Any) -> list[str]:
    """Return the names of the code locations in a ``load_from`` list, as Dagster derives them."""
    names: list[str] = []
    for entry in entries if isinstance(entries, list) else []:
        for kind, target in entry.items() if isinstance(entry, dict) else [("python_file", entry)]:
            names.append(_location_name(kind, target))
    return names


def _location_name(kind: str, target: Any) -> str:
    if not isinstance(target, dict):
        return str(target)
    if target.get("location_name"):
        return str(target["location_name"])
    if kind == "grpc_server":
        return f"{kind}:{target.get('host')}:{target.get('port') or target.get('socket')}"
    named = target.get("package_name") or target.get("module_name") or target.get("relative_path") or target
    return str(named)


def published_ports(services: Any, env: Mapping[str, str]) -> list[int]:
    """Return the host ports that services publish: ``{"db": {"ports": ["5440:5432"]}} -> [5440]``."""
    ports: list[int] = []
    for service in services.values() if isinstance(services, dict) else ():
        entries = service.get("ports") if isinstance(service, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            ports.extend(_host_ports(entry, env))
    return ports


def _host_ports(entry: Any, env: Mapping[str, str]) -> list[int]:
    if isinstance(entry, dict):
        text = str(entry.get("published", ""))
    else:
        parts = re.split(r":(?![^{]*\})", str(entry).split("/")[0].replace("[::1]", "localhost"))
        text = parts[-2] if len(parts) > 1 else ""
    first, _, last = interpolated(text, env).partition("-")
    if not first.isdigit() or (last and not last.isdigit()):
        return []
    return list(range(int(first), min(int(last or first), 65535) + 1))


def interpolated(text: str, env: Mapping[str, str]) -> str:
    """Return a Compose value with its variables replaced, as Compose does it: ``"${PORT:-80}" -> "80"``.

    Defaults may have variables themselves: ``${PORT:-${OTHER:-80}}``
    (https://docs.docker.com/reference/compose-file/interpolation/).
    """
    parts: list[str] = []
    position = 0
    while match := _REFERENCE.search(text, position):
        parts.append(text[position : match.start()])
        position = match.end()
        if match[1]:
            end = _closing_brace(text, position)
            parts.append(_value(match[1], text[position:end], env))
            position = end + 1
        else:
            parts.append(env.get(match[2], "") if match[2] else "$")
    return "".join([*parts, text[position:]])


def _closing_brace(text: str, position: int) -> int:
    """Return the position of the brace that closes a variable, or of the text's end."""
    depth = 0
    for match in re.finditer(r"\$\{|\}", text[position:]):
        if match[0] == "}" and not depth:
            return position + match.start()
        depth += 1 if match[0] == "${" else -1
    return len(text)


def _value(name: str, modifier: str, env: Mapping[str, str]) -> str:
    value = env.get(name)
    is_set = bool(value) if modifier.startswith(":") else value is not None
    kind, word = modifier.lstrip(":")[:1], modifier.lstrip(":")[1:]
    if kind == "+":
        return interpolated(word, env) if is_set else ""
    if kind == "-" and not is_set:
        return interpolated(word, env)
    return value or ""


def has_unset(text: str, env: Mapping[str, str]) -> bool:
    """Return whether a Compose value has a variable with neither a value in ``env`` nor a default."""
    matches = (match for match in _VARIABLE.finditer(text) if match[0] != "$$")
    return any(not env.get(match[1] or match[3]) and "-" not in (match[2] or "")[:2] for match in matches)


def _used(bodies: Bodies) -> set[str]:
    names: set[str] = set()
    for (file, _), lines in bodies.items():
        if file == compose.NAME:
            text = "\n".join(line.decode("utf-8", "replace") for line in lines if not line.lstrip().startswith(b"#"))
            for match in _VARIABLE.finditer(text):
                if match[0] != "$$" and not (match[2] or "").lstrip(":").startswith(("-", "+")):
                    names.add(match[1] or match[3])
    return names
