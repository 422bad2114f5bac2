"""``dagster.yaml``: what a module needs in the run launcher that starts a container for each run.

The format is Dagster's (https://docs.dagster.io/deployment/oss/dagster-yaml), the launcher's ``dagster-docker``'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dagster_module_builder.shared_files.formats.outline import KeyPath
from dagster_module_builder.shared_files.formats.shared_file import Contribution
from dagster_module_builder.shared_files.formats.yaml_file import YamlFile

NAME = "dagster.yaml"
FILE = YamlFile(NAME)

_CONFIG: KeyPath = ("run_launcher", "config")
ENV_VARS: KeyPath = (*_CONFIG, "env_vars")
VOLUMES: KeyPath = (*_CONFIG, "container_kwargs", "volumes")

#: Starts each run where its code is, and needs no settings of modules.
LOCAL = "DefaultRunLauncher"
#: Starts each run in a new container.
DOCKER = "DockerRunLauncher"


@dataclass(frozen=True)
class Launcher:
    """The run launcher.

    Attributes:
        kind: Its class.
        image: The image of its containers, if it is set.
        networks: The networks that the containers join, by the engine's names.
        env_vars: The variables that they get.
        volumes: What is mounted into them: source, target, mode.
        working_dir: The folder that they start in, if it is set; Dagster reads a ``.env`` there.
    """

    kind: str = LOCAL
    image: str | None = None
    networks: tuple[str, ...] = ()
    env_vars: tuple[str, ...] = ()
    volumes: tuple[tuple[str, str, str], ...] = ()
    working_dir: str | None = None


def launcher(data: Any, env: Mapping[str, str]) -> Launcher:
    """Return the launcher of an instance's configuration.

    Args:
        data: The configuration, without the modules' blocks.
        env: The variables of the process that launches runs.
    """
    entry = _mapping(_mapping(data).get("run_launcher"))
    config = _mapping(entry.get("config"))
    kwargs = _mapping(config.get("container_kwargs"))
    networks = [config["network"]] if config.get("network") else _list(config.get("networks"))
    return Launcher(
        kind=str(entry.get("class") or entry.get("custom") or LOCAL),
        image=_text(config.get("image"), env),
        networks=tuple(filter(None, (_text(network, env) for network in networks))),
        env_vars=tuple(str(entry).partition("=")[0] for entry in _list(config.get("env_vars"))),
        volumes=tuple(_volumes(kwargs.get("volumes"))),
        working_dir=_text(kwargs.get("working_dir"), env),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _text(value: Any, env: Mapping[str, str]) -> str | None:
    """Return a setting; it may be the name of a variable with the value (``env: NAME``)."""
    if isinstance(value, dict):
        return env.get(str(value.get("env")))
    return None if value is None else str(value)


def _volumes(volumes: Any) -> Iterable[tuple[str, str, str]]:
    if isinstance(volumes, dict):
        for source, options in volumes.items():
            yield str(source), str(_mapping(options).get("bind")), str(_mapping(options).get("mode", "rw"))
    for entry in volumes if isinstance(volumes, list) else ():
        source, _, rest = str(entry).partition(":")
        target, _, mode = rest.partition(":")
        yield source, target, mode or "rw"


def contributions(env_vars: Iterable[str], volumes: Iterable[tuple[str, str]]) -> list[Contribution]:
    """Return what a module contributes to the launcher.

    Args:
        env_vars: The variables that its runs need.
        volumes: What its runs need mounted: source and target.
    """
    names, mounts = list(env_vars), list(volumes)
    result = []
    if names:
        result.append(Contribution(ENV_VARS, sequence=tuple(f"- {name}".encode() for name in names)))
    if mounts:
        items = tuple(f"- {source}:{target}".encode() for source, target in mounts)
        mapping = tuple(
            line.encode() for source, target in mounts for line in (f"{source}:", f"  bind: {target}", "  mode: rw")
        )
        result.append(Contribution(VOLUMES, mapping=mapping, sequence=items))
    return result
