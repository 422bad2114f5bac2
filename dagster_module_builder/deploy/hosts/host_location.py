"""A module's part of a host's files: the entry of its code location, and its settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.shared_files.formats import env_file, workspace_yaml
from dagster_module_builder.shared_files.formats.outline import UnsafeEditError
from dagster_module_builder.shared_files.formats.shared_file import Contribution
from dagster_module_builder.shared_files.merge import unsafe


@dataclass(frozen=True)
class CodeServer:
    """A release's own code server.

    Attributes:
        name: Its container's name, different for each start.
        host: The host by which Dagster reaches it.
        port: Its port.
    """

    name: str
    host: str
    port: int


@dataclass(frozen=True)
class HostLocation:
    """A module's code location on a host.

    Attributes:
        names: The module's names.
        code: The folder that its code is imported from, as Dagster sees it.
        python: The interpreter of the module's environment, as Dagster sees it; None for Dagster's own.
        env: Its settings.
        server: The server that has its code and its settings; None if Dagster loads the code itself.
        database: Its database, if that is a service of the host's Compose project.
    """

    names: ModuleNames
    code: str
    python: str | None
    env: bytes
    database: Mapping[str, Any] | None = None
    server: CodeServer | None = None

    @property
    def expected(self) -> str:
        """What Dagster must report as the source of the code: the server's name, or the folder."""
        return self.server.name if self.server else self.code

    def contributions(self) -> dict[str, list[Contribution]]:
        """Return its blocks, by file."""
        if self.server:
            # Compose needs the settings for the database's service; the server has its own file.
            env = self._settings() if self.database else []
            return {workspace_yaml.NAME: [_entry_of_server(self, self.server)], env_file.NAME: env}
        lines = [
            "- python_package:",
            f"    package_name: {self.names.definitions}",
            f"    working_directory: {_yaml(self.code)}",
            f"    location_name: {self.names.snake}",
        ]
        lines += [f"    executable_path: {_yaml(self.python)}"] if self.python else []
        entry = Contribution(workspace_yaml.SLOT, sequence=tuple(line.encode() for line in lines))
        return {workspace_yaml.NAME: [entry], env_file.NAME: self._settings()}

    def _settings(self) -> list[Contribution]:
        try:
            return env_file.contributions(self.env)
        except UnsafeEditError as error:
            raise unsafe(Path(f"the settings of {self.names.name}"), error.position + 1, error.reason) from None


def _entry_of_server(location: HostLocation, server: CodeServer) -> Contribution:
    lines = [
        "- grpc_server:",
        f"    host: {_yaml(server.host)}",
        f"    port: {server.port}",
        f"    location_name: {location.names.snake}",
        # Dagster shows it for the location and for each run, so people see the release of a run.
        "    additional_metadata:",
        f"      server: {_yaml(server.name)}",
        f"      release: {_yaml(location.code)}",
    ]
    return Contribution(workspace_yaml.SLOT, sequence=tuple(line.encode() for line in lines))


def _yaml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
