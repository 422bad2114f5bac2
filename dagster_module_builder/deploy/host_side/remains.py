"""The data that removed modules leave on this host: recorded until it is deleted."""

from __future__ import annotations

import contextlib
import json
import os

from .files import read_json, sync, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .host import Host


def remains_file(host: Host, module: str) -> str:
    """Return the path of a module's record."""
    return os.path.join(host.modules, ".remains", f"{module}.json")


def read_remains(host: Host, module: str) -> dict[str, Any]:
    """Return a removed module's record; empty if there is none."""
    remains: dict[str, Any] = read_json(remains_file(host, module), {})
    return remains


def note_remains(host: Host, module: str, remains: dict[str, Any]) -> None:
    """Write a module's record safely to the disk, before anything is removed."""
    path = remains_file(host, module)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    write(path, json.dumps(remains).encode(), 0o600)
    sync(host.modules)


def forget_remains(host: Host, module: str) -> None:
    """Delete a module's record: its data is deleted, or a new release uses it."""
    path = remains_file(host, module)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
        sync(os.path.dirname(path))
