"""Code servers in containers: each start makes a new container, with a folder for its settings here."""

from __future__ import annotations

import os

from .files import read_json
from .host import STATE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .host import Host

#: The service of a server's Compose project.
SERVICE = "code-server"


def folder_of(host: Host, module: str, *parts: str) -> str:
    """Return a path below the folder of a module's servers."""
    return host.of(module, "servers", *parts)


def servers_of(host: Host, module: str) -> list[str]:
    """Return the names of a module's servers."""
    folder = folder_of(host, module)
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def current_server(host: Host, module: str) -> str | None:
    """Return the name of a module's current server, as its state says; None if it has none."""
    server = read_json(host.of(module, STATE), {}).get("server") or {}
    name: str | None = server.get("name")
    return name
