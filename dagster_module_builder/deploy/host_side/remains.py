"""What modules leave behind here that are taken off: remembered until it is deleted."""

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
    """Return the path of the record of what a module left behind."""
    return os.path.join(host.modules, ".remains", f"{module}.json")


def read_remains(host: Host, module: str) -> dict[str, Any]:
    """Return what a module left behind; empty where that is not known."""
    found: dict[str, Any] = read_json(remains_file(host, module), {})
    return found


def note_remains(host: Host, module: str, remains: dict[str, Any]) -> None:
    """Have on the disk what a module leaves behind, before anything of it goes."""
    path = remains_file(host, module)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    write(path, json.dumps(remains).encode(), 0o600)
    sync(host.modules)


def forget_remains(host: Host, module: str) -> None:
    """Drop the record: all of it is deleted, or a release uses it again."""
    path = remains_file(host, module)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
        sync(os.path.dirname(path))
