"""Where on this machine a workspace's Dagster would answer, and whether anything listens there.

This asks no program, and imports nothing that does: 'workspace.list' is to be quick where no Dagster runs.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.base.layout import DEFAULTS
from dagster_module_builder.claims.facts import published_ports
from dagster_module_builder.native.native_folder import dev_url
from dagster_module_builder.shared_files.formats import env_file
from dagster_module_builder.workspaces.workspace import Workspace

_HOST = "127.0.0.1"
#: How long a connection on this machine may take, in seconds.
_CONNECTION_LIMIT = 0.5


def address_of(port: int | str) -> str:
    """Return the address of a webserver on this machine: ``3000 -> "http://127.0.0.1:3000"``."""
    return f"http://{_HOST}:{port}"


def first_addresses(workspace: Workspace) -> list[str]:
    """Return the address of ``workspace.dev``, if it is recorded, and that of the port in ``.env``."""
    port = env_file.values(workspace.files.get(env_file.NAME) or b"").get("DAGSTER_PORT") or 3000
    return [*filter(None, [dev_url(workspace.root)]), address_of(port)]


def all_addresses(workspace: Workspace) -> list[str]:
    """Return these, and where the compose file of an adopted workspace publishes services that load code."""
    return list(dict.fromkeys([*first_addresses(workspace), *_published(workspace)]))


def _published(workspace: Workspace) -> list[str]:
    # The template's compose file publishes the port in '.env'.
    if workspace.layout.values["compose-file"] in {DEFAULTS["compose-file"], ""}:
        return []
    try:
        services = {name: service.data for name, service in workspace.stack.services.items() if service.loads_code}
        return [address_of(port) for port in published_ports(services, workspace.stack.variables)]
    except BuilderError:
        # A list of modules is no place to find out that the compose file cannot be edited.
        return []


def listening(addresses: Iterable[str]) -> list[str]:
    """Return the addresses at which something takes connections, whatever it is."""
    return [address for address in addresses if _takes_connections(address)]


def _takes_connections(address: str) -> bool:
    try:
        with socket.create_connection((_HOST, urlsplit(address).port or 80), timeout=_CONNECTION_LIMIT):
            return True
    except (OSError, ValueError, OverflowError):
        return False
