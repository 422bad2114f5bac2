"""The sections of a Compose fragment that a module may have, and its locations.

The sections are the Compose specification's (https://github.com/compose-spec/compose-spec/blob/main/04-version-and-name.md),
the kinds of locations Dagster's (https://docs.dagster.io/guides/build/projects/workspaces/workspace-yaml).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from dagster_module_builder.fragment_rules import service as services
from dagster_module_builder.fragment_rules.owner import Owner
from dagster_module_builder.fragment_rules.refused import Refused
from dagster_module_builder.fragment_rules.rule import Rule, SettingPath, anything, named_after, own_path, table, words
from dagster_module_builder.fragment_rules.values import Value, value_of
from dagster_module_builder.shared_files.blocks import split_lines
from dagster_module_builder.shared_files.formats import compose, env_file, workspace_yaml
from dagster_module_builder.shared_files.formats.outline import outline_of

_FROM_SHELL = "reads a variable that is not the module's from the shell that starts the workspace"


def _from_environment(where: SettingPath, value: Value) -> Iterator[Refused]:
    if not (value.text or "").startswith(f"{where.owner.snake.upper()}_"):
        yield from where.refuse(value, _FROM_SHELL)


_NOT_EXTERNAL = words("false")
_VOLUME = table({"name": named_after, "driver": words("local"), "labels": anything, "external": _NOT_EXTERNAL})
_NETWORK = table(
    {
        "name": named_after,
        "driver": words("bridge", "default"),
        "external": _NOT_EXTERNAL,
        **dict.fromkeys(("internal", "attachable", "enable_ipv4", "enable_ipv6", "labels"), anything),
    }
)
_FILE = table(
    {
        "file": own_path,
        "environment": _from_environment,
        "content": anything,
        "labels": anything,
        "external": _NOT_EXTERNAL,
    }
)
_SECTIONS: dict[str, Rule] = {"volumes": _VOLUME, "networks": _NETWORK, "secrets": _FILE, "configs": _FILE}
#: Keys that are not merged into the compose file.
_NOT_MERGED = {"version", "name"}

_COMMON = {"location_name": anything, "attribute": anything, "working_directory": anything}
_LOCATIONS: dict[str, Rule] = {
    "python_package": table({**_COMMON, "package_name": anything}, anything),
    "python_module": table({**_COMMON, "module_name": anything}, anything),
    "python_file": table({**_COMMON, "relative_path": anything}, anything),
}
_OTHER_SERVER = "makes Dagster load code from a server that is not one of the module's services"


def _grpc_host(where: SettingPath, value: Value) -> Iterator[Refused]:
    if value.text not in where.owner.services:
        yield from where.refuse(value, _OTHER_SERVER)


_LOCATIONS["grpc_server"] = table(
    {"host": _grpc_host, **dict.fromkeys(("port", "location_name", "ssl", "additional_metadata"), anything)}
)


def owner_of(name: str, fragments: Mapping[str, bytes]) -> Owner:
    """Return a module with the names from its fragments.

    Raises:
        UnsafeEditError: A fragment cannot be read.
    """
    outline = outline_of(split_lines(fragments.get(compose.NAME, b"")))
    own = set(outline.children(("services",)))
    locations = _locations(fragments.get(workspace_yaml.NAME, b""))
    hosts = {host.text for _, location in locations if (host := location.get("host"))}
    return Owner(
        name,
        services=own,
        volumes=set(outline.children(("volumes",))),
        mounted_files={*outline.children(("secrets",)), *outline.children(("configs",))},
        variables=set(env_file.keys(fragments.get(env_file.NAME, b""))),
        code_servers={host for host in hosts if host in own},
    )


def refused_in_compose(owner: Owner, fragment: bytes) -> Iterator[Refused]:
    """Yield the refused settings of a Compose fragment.

    Args:
        owner: The module.
        fragment: Its ``workspace/local/docker-compose.yml``.

    Raises:
        UnsafeEditError: It cannot be read.
    """
    whole = value_of(outline_of(split_lines(fragment)))
    for name, value in whole.entries() if whole else ():
        where = SettingPath(owner, name)
        if name == "services":
            for service, data in value.entries():
                yield from services.service(SettingPath(owner, f"services.{service}", service=data), data)
        elif name in _SECTIONS:
            for key, data in value.entries():
                yield from _SECTIONS[name](replace(where, place=f"{name}.{key}"), data)
        elif name == compose.CODE_KEY:
            yield from services.for_code(where, value)
        elif name not in _NOT_MERGED and not name.startswith("x-"):
            yield from replace(where, place="", path=name).refuse(value)


def refused_locations(owner: Owner, fragment: bytes) -> Iterator[Refused]:
    """Yield the refused settings of a module's locations.

    Raises:
        UnsafeEditError: The fragment cannot be read.
    """
    for kind, location in _locations(fragment):
        where = SettingPath(owner, workspace_yaml.SLOT[0], kind, file=workspace_yaml.NAME)
        yield from _LOCATIONS.get(kind, SettingPath.refuse)(where, location)


def _locations(fragment: bytes) -> Iterator[tuple[str, Value]]:
    whole = value_of(outline_of(split_lines(fragment)))
    items = whole.get(workspace_yaml.SLOT[0]) if whole else None
    for item in items.items() if items else ():
        yield from item.entries()
