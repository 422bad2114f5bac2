"""Which host port a new database takes.

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
else:
    import settings  # beside this file in the template's hooks

FIRST_PORT = 5440
LAST_PORT = 65535

_PORT_LINE = re.compile(rb"""^\s*(?:export\s+)?[A-Za-z_]\w*PORT\s*=\s*['"]?(\d{1,5})""", re.MULTILINE)


def ports_in(env_text: bytes) -> set[int]:
    """Return the value of every ``*PORT=`` line of an env file."""
    return {int(port) for port in _PORT_LINE.findall(env_text)}


def known_ports(root: Path) -> set[int]:
    """Return the ports that the workspace, its registry and every module in it name, integrated or not."""
    files = [root / settings.SERVICES / ".env", *root.glob(f"{settings.PROJECTS}/*/{settings.FRAGMENTS}/.env")]
    taken: set[int] = set()
    for file in files:
        if file.is_file():
            taken |= ports_in(file.read_bytes())
    return taken | _registered_ports(root / settings.REGISTRY)


def _registered_ports(registry: Path) -> set[int]:
    try:
        modules = json.loads(registry.read_bytes())["integrated_modules"]
        return {int(entry["database"]["port"]) for entry in modules if entry.get("database")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # A damaged registry is reported by the commands that need it; its ports stand in the .env as well.
        return set()


def is_listening(port: int) -> bool:
    """Tell whether something accepts connections on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def next_free_port(taken: Iterable[int], first: int = FIRST_PORT) -> int:
    """Return the lowest port from ``first`` up that is neither in ``taken`` nor listened on.

    Raises:
        LookupError: No port is left.
    """
    known = set(taken)
    for port in range(first, LAST_PORT + 1):
        if port not in known and not is_listening(port):
            return port
    raise LookupError(f"no free port between {first} and {LAST_PORT}")


def problem_with_taken(port: int, root: Path) -> str | None:
    """Say who has a database's port already, and which one is free; None where it is free itself.

    Args:
        port: The port.
        root: The workspace in which no other database may have it.
    """
    taken = known_ports(root)
    if port in taken:
        owner = f"another database in {root} has it"
    elif is_listening(port):
        owner = "something listens on it on this machine"
    else:
        return None
    return f"The port {port} is taken, {owner}: {next_free_port(taken)} is free."
