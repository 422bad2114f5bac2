"""Choosing the host port of a new database.

Standard library only: the template's hooks import this file where Cookiecutter was installed alone.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING or __package__:
    from dagster_module_builder.base import settings
    from dagster_module_builder.base.layout import layout_of
else:
    import settings  # beside this file in the template's hooks
    from layout import layout_of

FIRST_PORT = 5440
LAST_PORT = 65535

_PORT_LINE = re.compile(rb"""^\s*(?:export\s+)?[A-Za-z_]\w*PORT\s*=\s*['"]?(\d{1,5})""", re.MULTILINE)


def ports_in(env_text: bytes) -> set[int]:
    """Return the value of every ``*PORT=`` line of an env file: ``b"SALES_DB_PORT=5440" -> {5440}``."""
    return {int(port) for port in _PORT_LINE.findall(env_text)}


def known_ports(root: Path) -> set[int]:
    """Return the ports named by the workspace, its registry and every module in it, integrated or not."""
    layout = layout_of(root)
    files = [layout.env_file, *(path / settings.FRAGMENTS / ".env" for path in layout.in_module_folders())]
    taken: set[int] = set()
    for file in files:
        if file.is_file():
            taken |= ports_in(file.read_bytes())
    return taken | _registered_ports(layout.registry)


def _registered_ports(registry: Path) -> set[int]:
    try:
        modules = json.loads(registry.read_bytes())["integrated_modules"]
        return {int(entry["database"]["port"]) for entry in modules if entry.get("database")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # The commands that need the registry report that it is damaged; its ports are in the .env as well.
        return set()


def is_listening(port: int) -> bool:
    """Return whether a program accepts connections on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def next_free_port(taken: Iterable[int], first: int = FIRST_PORT) -> int:
    """Return the lowest port from ``first`` up that is not in ``taken`` and that no program listens on.

    Raises:
        LookupError: No port is left.
    """
    known = set(taken)
    for port in range(first, LAST_PORT + 1):
        if port not in known and not is_listening(port):
            return port
    raise LookupError(f"no free port between {first} and {LAST_PORT}")


def problem_with_taken(port: int, root: Path) -> str | None:
    """Return who uses a port, with a free one as a suggestion; None if the port is free.

    Args:
        port: The port.
        root: The workspace, in which nothing else may use it.
    """
    taken = known_ports(root)
    if port in taken:
        owner = f"the workspace {root} uses it"
    elif is_listening(port):
        owner = "a program on this machine listens on it"
    else:
        return None
    return f"The port {port} is taken: {owner}. Port {next_free_port(taken)} is free."
