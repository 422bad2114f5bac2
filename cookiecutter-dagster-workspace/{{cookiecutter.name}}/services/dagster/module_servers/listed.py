"""The code locations that a workspace file lists, and the file that names their servers."""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .blocks import taken_apart


@dataclass(frozen=True)
class Listed:
    """A code location in a workspace file.

    Attributes:
        name: Its name.
        entry: Its entry, in which every path is absolute.
        arguments: What ``dagster api grpc`` loads it with; None if another Python, or another server, has it.
    """

    name: str
    entry: Mapping[str, Any]
    arguments: tuple[str, ...] | None = None


def digest_of(text: bytes) -> str:
    """Return what a served file is recognized by as the one for this workspace file."""
    return hashlib.sha256(text).hexdigest()


def heading_of(digest: str, path: Path) -> bytes:
    """Return the first line of a served file: for which content of which workspace file it is."""
    return f"# {digest} {path}".encode("utf-8", "surrogateescape")


#: The most bytes that the name of a socket has: ``file_name``, the number of a server, and what it is.
LONGEST_SOCKET_NAME = 40 + 9 + len(".999999") + len(".aside")


def file_name(location: str) -> str:
    """Return a location's name as part of the names of sockets: ``"sales" -> "sales"``, ``"a/b" -> "a_b-c14cddc0"``."""
    plain = re.sub(r"\W", "_", location, flags=re.ASCII)[:40]
    return plain if plain == location else f"{plain}-{hashlib.sha256(location.encode()).hexdigest()[:8]}"


def listed_in(text: bytes, path: Path) -> list[Listed]:
    """Return the code locations of a workspace file, as Dagster reads it.

    Args:
        text: Its content.
        path: Where it is: Dagster looks for Python files relative to it.

    Raises:
        Exception: Dagster refuses the file; by what depends on what is wrong.
    """
    data = yaml.safe_load(text) or {}
    found = [_listed(entry, str(path)) for entry in data.get("load_from") or ()]
    names = [location.name for location in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{path} lists {', '.join(twice)} more than once")
    return found


def markers_in(text: bytes, path: Path) -> dict[str, str]:
    """Return the marker of the block that lists each code location, by its name; owners' locations have none.

    Args:
        text: The content of a workspace file that ``listed_in`` can read.
        path: Where it is.
    """
    blocks = taken_apart(text.decode("utf-8", "surrogateescape")).blocks
    return {
        _listed(entry, str(path)).name: marker
        for marker, body in blocks.items()
        for entry in yaml.safe_load(textwrap.dedent(body)) or ()
    }


def _listed(entry: Mapping[str, Any], path: str) -> Listed:
    from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin
    from dagster._core.workspace.load import location_origins_from_config

    ((name, origin),) = location_origins_from_config({"load_from": [entry]}, path).items()
    if not isinstance(origin, ManagedGrpcPythonEnvCodeLocationOrigin):
        return Listed(name, entry)
    target, details = origin.loadable_target_origin, next(iter(entry.values()))
    if isinstance(details, dict) and details.get("executable_path"):
        is_file = target.python_file is not None
        paths = {"relative_path": target.python_file, "working_directory": target.working_directory} if is_file else {}
        return Listed(name, {next(iter(entry)): {**details, **paths}})
    return Listed(name, entry, tuple(target.get_cli_args()))


def served_text(heading: bytes, locations: Sequence[Listed], folder: Path) -> bytes:
    """Return the workspace file with a server's socket in place of each location that has a server.

    Args:
        heading: Its first line.
        locations: What the workspace file lists.
        folder: The folder with the sockets.
    """
    entries = [
        location.entry
        if location.arguments is None
        else {
            "grpc_server": {"socket": str(folder / f"{file_name(location.name)}.sock"), "location_name": location.name}
        }
        for location in locations
    ]
    return heading + b"\n" + yaml.safe_dump({"load_from": entries}, sort_keys=False).encode()
