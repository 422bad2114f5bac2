"""The Compose project of a workspace as ``workspace.up`` starts it: its files, command line and variables.

The check before a change uses the same three, so that what is checked is what is run.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.programs import engine
from dagster_module_builder.shared_files.formats import compose, env_file
from dagster_module_builder.shared_files.formats.yaml_text import loaded

# Compose reads the first of these that exists (https://docs.docker.com/compose/how-tos/multiple-compose-files/merge/).
_MAIN = ("compose.yaml", "compose.yml", compose.NAME, "docker-compose.yaml")
_OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
_EVERYWHERE = {"", "0.0.0.0", "::"}  # noqa: S104 - addresses of published ports; nothing listens here


@dataclass(frozen=True)
class Project:
    """The project in a folder.

    Attributes:
        folder: The folder of the compose file (``services/dagster``).
        env: The variables of its ``.env``.
    """

    folder: Path
    env: Mapping[str, str]

    @property
    def files(self) -> list[Path]:
        """The files that Compose merges.

        Raises:
            RefusedError: The file that modules are added to is not among them.
        """
        listed = self.env.get("COMPOSE_FILE")
        if listed:
            names = listed.split(self.env.get("COMPOSE_PATH_SEPARATOR") or os.pathsep)
            paths = [Path(os.path.normpath(self.folder / name)) for name in names if name]
        else:
            firsts = (self._first(_MAIN), self._first(_OVERRIDES))
            paths = [path for path in firsts if path]
        if self.main not in paths:
            read = ", ".join(path.name for path in paths) or "nothing"
            why = f"COMPOSE_FILE in {self.folder / env_file.NAME} names" if listed else "of these files, Compose reads"
            raise RefusedError(
                f"{self.main}: Compose does not read this file, but modules are added to it: {why} {read}. "
                f"Rename the other file to docker-compose.override.yml, or add {compose.NAME} to COMPOSE_FILE."
            )
        return paths

    @property
    def main(self) -> Path:
        """The file that modules are added to."""
        return self.folder / compose.NAME

    @property
    def others(self) -> list[Path]:
        """The other files that Compose merges with the one that modules are added to."""
        return [path for path in self.files if path != self.main]

    def _first(self, names: Sequence[str]) -> Path | None:
        return next((self.folder / name for name in names if (self.folder / name).is_file()), None)

    def arguments(self, replaced: Path | None = None) -> list[str]:
        """Return the arguments for every command of Compose.

        Args:
            replaced: Replaces the file that modules are added to, if that is not written yet.
        """
        files = [replaced if replaced and path == self.main else path for path in self.files]
        return ["--project-directory", str(self.folder), *(word for path in files for word in ("-f", str(path)))]

    @property
    def environment(self) -> dict[str, str]:
        """The variables of Compose's process.

        Compose prefers them to those in ``.env``, so variables in ``.env`` are left out: the shell cannot change them.
        """
        return {name: value for name, value in engine.environment().items() if name not in self.env}


def project_in(folder: Path, env_text: bytes | None = None) -> Project:
    """Return the project in a folder.

    Args:
        folder: The folder of the compose file.
        env_text: The content of its ``.env``; None for the existing one.
    """
    folder = Path(os.path.normpath(folder.absolute()))
    file = folder / env_file.NAME
    text = env_text if env_text is not None else file.read_bytes() if file.is_file() else b""
    return Project(folder, env_file.values(text))


class _Loader(yaml.SafeLoader):
    """Ignores Compose's tags ``!reset`` and ``!override``."""


def _untagged(loader: _Loader, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None


_Loader.add_multi_constructor("!", _untagged)


def redefined(project: Project, services: Mapping[str, str]) -> Iterator[tuple[str, Path, str]]:
    """Find services of modules that another file of the project replaces with an image or a build.

    Args:
        project: The project.
        services: The owner of each service.

    Yields:
        The owner, the file, and a message.

    Raises:
        DamagedFileError: One of the other files is not YAML.
    """
    for path in project.others:
        data = loaded(path, path.read_bytes() if path.is_file() else b"", loader=_Loader)
        definitions = data.get("services") if isinstance(data, dict) else None
        for name, service in (definitions if isinstance(definitions, dict) else {}).items():
            if name in services and isinstance(service, dict) and {"image", "build"} & service.keys():
                yield services[name], path, f"{path.name} replaces the service {name} of {services[name]}"


def shared_ports(model: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Find the host ports that several services of a project publish.

    Args:
        model: The output of ``docker compose config --format json``.

    Yields:
        The port and the services.
    """
    claims: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for name, service in (model.get("services") or {}).items():
        for entry in service.get("ports") or ():
            for port in _published(str(entry.get("published") or "")):
                address = str(entry.get("host_ip") or "")
                claims[port, str(entry.get("protocol") or "tcp")].append((name, address))
    for (port, _), claimed in claims.items():
        addresses = [address for _, address in claimed]
        if len(addresses) > len(set(addresses)) or (len(addresses) > 1 and _EVERYWHERE & set(addresses)):
            yield port, sorted({name for name, _ in claimed})


def _published(text: str) -> list[str]:
    first, _, last = text.partition("-")
    return [str(port) for port in range(int(first), int(last or first) + 1)] if first else []
