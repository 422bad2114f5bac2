"""The previews of branches on this host: which there are, where a new one goes, and how one is removed.

Each is a base path like any other, ``previews/<name>`` below the base path of all, with a separate Dagster. Its
``PREVIEW.json`` says whose it is; a folder without that file is never removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import time

from .dagster import Dagster
from .errors import RefusedError
from .files import now, read_json, remove_tree, write
from .host import Host
from .lock import take_lock
from .processes import named_by_processes
from .running import stop_processes
from .server_start import answers
from .service import PROCESSES, service_settings
from .storage import processes_in
from .systemd import forget_unit, has_systemd, unit_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

FOLDER, RECORD = "previews", "PREVIEW.json"
NAME = re.compile(r"[0-9a-f]{10}")
#: Before the name of a preview that is being removed.
GONE = ".gone-"
#: Seconds that another command may hold a preview's lock.
PATIENCE = 120.0


def root_of(host: Host, base: str) -> str:
    """Return the folder of all previews below a base path."""
    host.base = os.path.expanduser(base)
    return os.path.join(host.base, FOLDER)


def record_of(root: str, name: str) -> dict[str, Any]:
    """Return what a preview's file says; empty if there is no such preview."""
    if not NAME.fullmatch(name):
        raise RefusedError("preview", f"{name!r} is no preview's name.")
    record: dict[str, Any] = read_json(os.path.join(root, name, RECORD), {})
    return record


def names_in(root: str) -> list[str]:
    """Return the names of the previews in a folder."""
    found = sorted(os.listdir(root)) if os.path.isdir(root) else []
    return [name for name in found if NAME.fullmatch(name) and os.path.isfile(os.path.join(root, name, RECORD))]


@contextlib.contextmanager
def alone(root: str) -> Iterator[None]:
    """Let no other command choose a name or a port while the block runs."""
    os.makedirs(root, mode=0o755, exist_ok=True)
    with open(os.path.join(root, ".lock"), "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def list_previews(host: Host, base: str) -> dict[str, Any]:
    """Return the previews below a base path, oldest first.

    Args:
        host: This host.
        base: The base path of all previews.

    Returns:
        ``previews``: the record of each, with its ``name``, whether its Dagster is ``running``, and whether it has
        ``expired``; ``base``: the base path with the home folder filled in.
    """
    root = root_of(host, base)
    found = []
    for name in names_in(root):
        record, there = record_of(root, name), os.path.join(root, name)
        seen = {"running": is_listening(int(record["port"])), "expired": is_expired(record)}
        found.append({**record, "name": name, "path": there, **seen})
    return {"base": host.base, "previews": sorted(found, key=lambda record: (record["created"], record["name"]))}


def is_listening(port: int) -> bool:
    """Tell whether a program listens on a port of this host."""
    try:
        socket.create_connection(("127.0.0.1", port), 2).close()
    except OSError:
        return False
    return True


def is_expired(record: dict[str, Any]) -> bool:
    """Tell whether a preview is older than it may become."""
    return str(record.get("expires") or "9") < now()


def reserve_preview(
    host: Host, base: str, name: str, record: dict[str, Any], ports: list[int], keep_days: int
) -> dict[str, Any]:
    """Give a preview its folder and its port; one that exists keeps both.

    Args:
        host: This host.
        base: The base path of all previews.
        name: The preview's name.
        record: What its file shall say.
        ports: The first port for previews, and the last.
        keep_days: Days after which it may be removed.

    Returns:
        ``new``: whether there was no complete one of this name; ``port``; ``path``.
    """
    root = root_of(host, base)
    with alone(root):
        before = record_of(root, name)
        for key in ("repository", "branch", "deployment"):
            if before and before[key] != record[key]:
                raise RefusedError("preview", f"{os.path.join(root, name)} is the preview of another {key}.")
        taken = {int(record_of(root, other)["port"]) for other in names_in(root) if other != name}
        port = before.get("port") or free_port(ports, taken)
        times = {"created": before.get("created") or now(), "updated": now(), "expires": in_days(keep_days)}
        os.makedirs(os.path.join(root, name), mode=0o700, exist_ok=True)
        text = json.dumps({**record, **times, "port": port, "complete": bool(before.get("complete"))}, indent=2)
        write(os.path.join(root, name, RECORD), text.encode())
    return {"new": not before.get("complete"), "port": port, "path": os.path.join(root, name)}


def in_days(days: int) -> str:
    """Return the time in so many days: ``2026-01-31T12:00:00Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + days * 86400))


def _can_be_listened_on(port: int) -> bool:
    """Tell whether no connection begins at a port either, which ends a webserver that wants it."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port(ports: list[int], taken: set[int]) -> int:
    """Return the first port that no preview has, and that a webserver can listen on."""
    first, last = ports
    for port in range(first, last + 1):
        if port not in taken and not answers(port) and _can_be_listened_on(port):
            return port
    raise RefusedError(
        "preview",
        f"No port from {first} to {last} is free for a preview: remove one ('deploy.preview --list'), or set 'ports:' "
        f"below 'preview:' in deployment.yaml.",
    )


def note_preview(host: Host, base: str, name: str, more: dict[str, Any]) -> dict[str, Any]:
    """Add to what a preview's file says, once it is complete."""
    root = root_of(host, base)
    with alone(root):
        record = {**record_of(root, name), **more, "complete": True}
        write(os.path.join(root, name, RECORD), json.dumps(record, indent=2).encode())
    return record


def drop_preview(host: Host, base: str, name: str, holder: dict[str, Any], unfinished: bool = False) -> dict[str, Any]:
    """Stop a preview's Dagster and delete the preview with all that it stored.

    Args:
        host: This host.
        base: The base path of all previews.
        name: The preview's name.
        holder: Who removes it, for those who would deploy to it at the same time.
        unfinished: Delete it only if it never was complete.

    Returns:
        ``removed``: whether there was one.
    """
    root = root_of(host, base)
    clear_gone(root)
    record, folder = record_of(root, name), os.path.join(root, name)
    if not record:
        return {"removed": False}
    preview = Host(host.client)
    preview.base = folder
    preview.dagster = Dagster(f"http://127.0.0.1:{record['port']}")
    if os.path.isdir(preview.modules):
        take_lock(preview, holder, PATIENCE)
    try:
        if unfinished and record_of(root, name).get("complete"):
            return {"removed": False}
        end_preview(preview)
        with alone(root):
            os.rename(folder, os.path.join(root, GONE + name))
    finally:
        if preview.lock is not None:
            preview.lock.close()
            preview.lock = None
    clear_gone(root)
    return {"removed": True}


def end_preview(preview: Host) -> None:
    """End every process of a preview, and have systemd forget it."""
    if service_settings(preview, "."):
        by_systemd = has_systemd(preview)
        stop_processes(preview, ".", by_systemd=by_systemd)
        if by_systemd:
            forget_unit(preview, [unit_name(preview, ".", name) for name in PROCESSES])
    # A webserver that was killed leaves its code servers.
    for number in processes_in(os.path.realpath(preview.base)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(int(number), signal.SIGKILL)


def clear_gone(root: str) -> None:
    """Delete what earlier commands did not delete to the end, unless a process still runs in it."""
    left = [name for name in os.listdir(root) if name.startswith(GONE)] if os.path.isdir(root) else []
    named = named_by_processes() if left else ""
    for name in left:
        path = os.path.join(root, name)
        if path not in named:
            remove_tree(path)
