"""The Compose project of a workspace as ``workspace.up`` starts it: its files, its command line, its variables.

Whoever starts the project, and whoever asks Compose about it beforehand, takes all three from here: what is checked is
what is run.
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

# What Compose looks for in a folder, the first one found counts (https://docs.docker.com/compose/how-tos/multiple-compose-files/merge/).
_MAIN = ("compose.yaml", "compose.yml", compose.NAME, "docker-compose.yaml")
_OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
_EVERYWHERE = {"", "0.0.0.0", "::"}  # noqa: S104 - what a published port may say, nothing listens here


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
        """The files that Compose puts together.

        Raises:
            RefusedError: The file that modules are added to is not among them.
        """
        given = self.env.get("COMPOSE_FILE")
        if given:
            names = given.split(self.env.get("COMPOSE_PATH_SEPARATOR") or os.pathsep)
            found = [Path(os.path.normpath(self.folder / name)) for name in names if name]
        else:
            firsts = (self._first(_MAIN), self._first(_OVERRIDES))
            found = [path for path in firsts if path]
        if self.main not in found:
            read = ", ".join(path.name for path in found) or "nothing"
            why = f"COMPOSE_FILE in {self.folder / env_file.NAME} names" if given else "of several, Compose takes"
            raise RefusedError(
                f"{self.main}: Compose does not read this file, to which modules are added: {why} {read}. "
                f"Rename the other file to docker-compose.override.yml, or add {compose.NAME} to COMPOSE_FILE."
            )
        return found

    @property
    def main(self) -> Path:
        """The file that modules are added to."""
        return self.folder / compose.NAME

    @property
    def others(self) -> list[Path]:
        """The files that are put on top of the one that modules are added to, or below it."""
        return [path for path in self.files if path != self.main]

    def _first(self, names: Sequence[str]) -> Path | None:
        return next((self.folder / name for name in names if (self.folder / name).is_file()), None)

    def arguments(self, replaced: Path | None = None) -> list[str]:
        """Return what follows ``docker compose`` on every command line.

        Args:
            replaced: Stands in for the file that modules are added to, which may not be written yet.
        """
        files = [replaced if replaced and path == self.main else path for path in self.files]
        return ["--project-directory", str(self.folder), *(word for path in files for word in ("-f", str(path)))]

    @property
    def environment(self) -> dict[str, str]:
        """The variables of Compose's process.

        Compose prefers them to those in ``.env``, so what ``.env`` sets is left out: it holds whatever the shell has.
        """
        return {name: value for name, value in engine.environment().items() if name not in self.env}


def project_in(folder: Path, env_text: bytes | None = None) -> Project:
    """Return the project in a folder.

    Args:
        folder: The folder of the compose file.
        env_text: The content of its ``.env``; of the one that is there when None.
    """
    folder = Path(os.path.normpath(folder.absolute()))
    file = folder / env_file.NAME
    text = env_text if env_text is not None else file.read_bytes() if file.is_file() else b""
    return Project(folder, env_file.values(text))


class _Loader(yaml.SafeLoader):
    """Reads Compose's own tags, ``!reset`` and ``!override``, as what they stand before."""


def _untagged(loader: _Loader, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None


_Loader.add_multi_constructor("!", _untagged)


def redefined(project: Project, services: Mapping[str, str]) -> Iterator[tuple[str, Path, str]]:
    """Find services of modules that another file of the project makes into others, by an image or a build.

    Args:
        project: The project.
        services: The owner of each service.

    Yields:
        The owner, the file, and what it does.

    Raises:
        DamagedFileError: One of the other files is not YAML.
    """
    for path in project.others:
        data = loaded(path, path.read_bytes() if path.is_file() else b"", loader=_Loader)
        found = data.get("services") if isinstance(data, dict) else None
        for name, service in (found if isinstance(found, dict) else {}).items():
            if name in services and isinstance(service, dict) and {"image", "build"} & service.keys():
                yield services[name], path, f"{path.name} replaces the service {name} of {services[name]}"


def shared_ports(model: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Find the host ports that several services of a whole project publish.

    Args:
        model: What ``docker compose config --format json`` prints.

    Yields:
        The port, and the services.
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
