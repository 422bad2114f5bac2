"""The Compose project of a workspace as ``workspace.up`` starts it: its files, command line and variables.

The check before a change uses the same three, so that what is checked is what is run.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.compose.merging import Loader, without_tags
from dagster_module_builder.compose.project_files import files_in, read_project
from dagster_module_builder.programs import engine
from dagster_module_builder.shared_files.formats import env_file
from dagster_module_builder.shared_files.formats.yaml_text import loaded

_EVERYWHERE = {"", "0.0.0.0", "::"}  # noqa: S104 - addresses of published ports; nothing listens here


@dataclass(frozen=True)
class Project:
    """The project in a folder.

    Attributes:
        main: The file that modules are added to.
        folder: The folder that paths are relative to: that of the first file.
        env: The variables that Compose interpolates.
        env_file: The file that they are in.
        named: The files that the workspace names; empty if Compose finds them itself.
        main_folder: The folder that paths in ``main`` are relative to.
    """

    main: Path
    folder: Path
    env: Mapping[str, str]
    env_file: Path
    named: tuple[Path, ...] = ()
    main_folder: Path = Path()

    @property
    def found(self) -> list[Path]:
        """The files that Compose gets: those that the workspace names, else those that Compose finds itself."""
        return list(self.named) or files_in(self.folder, self.env, _read)

    @property
    def files(self) -> list[Path]:
        """The files that Compose merges.

        Raises:
            RefusedError: The file that modules are added to is not among them, nor included by one.
        """
        paths = self.found
        if not self.reads_main:
            read = ", ".join(path.name for path in paths) or "nothing"
            listed = self.env.get("COMPOSE_FILE")
            why = f"COMPOSE_FILE in {self.env_file} names" if listed else "of these files, Compose reads"
            raise RefusedError(
                f"{self.main}: Compose does not read this file, but modules are added to it: {why} {read}. "
                f"Rename the other file to docker-compose.override.yml, or add {self.main.name} to COMPOSE_FILE."
            )
        return paths

    @property
    def reads_main(self) -> bool:
        """Whether Compose reads the file that modules are added to: it is one of its files, or included by one."""
        paths = self.found
        return self.main in paths or (bool(paths) and self.main in read_project(paths, _read).all_files)

    @property
    def others(self) -> list[Path]:
        """The other files that Compose merges with the one that modules are added to."""
        return [path for path in self.files if path != self.main]

    def arguments(self, replaced: Path | None = None, variables: Path | None = None) -> list[str]:
        """Return the arguments for every command of Compose.

        Args:
            replaced: Replaces the file that modules are added to, if that is not written yet.
            variables: Replaces the file of variables, if that is not written yet.
        """
        files, folder = self.files, self.folder
        if replaced and self.main not in files:
            # A file that another one includes is checked alone.
            files, folder = [self.main], self.main_folder
        files = [replaced if replaced and path == self.main else path for path in files]
        # Compose finds the one beside its first file by itself, and does not mind if there is none.
        elsewhere = self.env_file if self.env_file != self.folder / env_file.NAME and self.env_file.is_file() else None
        env = variables or elsewhere
        return [
            *("--project-directory", str(folder)),
            *(word for path in files for word in ("-f", str(path))),
            *(("--env-file", str(env)) if env else ()),
        ]

    @property
    def environment(self) -> dict[str, str]:
        """The variables of Compose's process.

        Compose prefers them to those in ``.env``, so variables in ``.env`` are left out: the shell cannot change them.
        """
        return {name: value for name, value in engine.environment().items() if name not in self.env}


def project_of(root: Path, env_text: bytes | None = None) -> Project:
    """Return the project of a workspace.

    Args:
        root: The workspace's root.
        env_text: The content of its file of variables; None for the existing one.
    """
    layout = layout_of(Path(os.path.normpath(root.absolute())))
    file = layout.env_file
    text = env_text if env_text is not None else file.read_bytes() if file.is_file() else b""
    variables, named = env_file.values(text), tuple(layout.compose_files)
    return Project(layout.compose_file, layout.project_folder, variables, file, named, layout.compose_folder)


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


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
        data = without_tags(loaded(path, path.read_bytes() if path.is_file() else b"", loader=Loader))
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
