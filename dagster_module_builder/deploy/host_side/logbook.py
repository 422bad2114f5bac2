"""The log of each module: a line when an operation begins, on the disk before anything changes, and a line at its end.

The logs are beside the modules' folders and outlive them. Each operation in progress is recorded in a file; the next
command ends the log of one that was interrupted.
"""

from __future__ import annotations

import contextlib
import json
import os
import time

from .files import now, read, read_json, sync, write
from .processes import start_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from .host import Host

#: The reason of an operation that had no end.
INTERRUPTED = "It was interrupted"
#: What people do on a host that changes no release.
SESSIONS = ("exec", "shell", "console")


def folder_of(host: Host) -> str:
    """Return the folder that holds the logs."""
    return os.path.join(host.modules, ".logs")


def log_of(host: Host, module: str) -> str:
    """Return the path of a module's log."""
    return os.path.join(folder_of(host), f"{module}.jsonl")


def begin(host: Host, modules: Sequence[str], record: dict[str, Any]) -> dict[str, Any]:
    """Log that an operation begins, safely on the disk.

    Args:
        host: This host.
        modules: The modules that it is about.
        record: What the log records: ``action``, ``who``, ``command``.

    Returns:
        The operation, for ``end``.
    """
    if not os.path.isdir(folder_of(host)):
        os.makedirs(folder_of(host), exist_ok=True)
        os.chmod(folder_of(host), 0o770 if host.private_mode & 0o060 else 0o700)
    for module in modules:
        bring_along(host, module)
    process = os.getpid()
    begun = {
        "id": f"{time.time_ns():x}-{process}", "modules": list(modules), "record": record, "since": time.time(),
        "pid": process, "started": start_of(process), "stands": False,
    }  # fmt: skip
    keep_open(host, begun)
    add(host, modules, {**record, "id": begun["id"], "event": "begun"})
    return begun


def end(host: Host, begun: dict[str, Any], record: dict[str, Any], modules: Sequence[str] | None = None) -> None:
    """Log that an operation has ended, safely on the disk.

    Args:
        host: This host.
        begun: What ``begin`` returned; its ``modules`` become those for which it has not ended yet.
        record: How it ended: ``result``, ``reason``, ``release``.
        modules: The modules for which it ended; None for all of them.
    """
    ended = [module for module in begun["modules"] if modules is None or module in modules]
    seconds = round(max(0.0, time.time() - begun["since"]), 1)
    add(host, ended, {**begun["record"], **record, "id": begun["id"], "event": "ended", "seconds": seconds})
    begun["modules"] = [module for module in begun["modules"] if module not in ended]
    keep_open(host, begun)


def finish(host: Host, record: dict[str, Any], modules: Sequence[str] | None = None) -> None:
    """Log the end of this conversation's operation for some or all modules; once for each."""
    if host.begun is not None and host.begun["modules"]:
        end(host, host.begun, record, modules)


def let_stand(host: Host) -> None:
    """Note on the disk that the operation will not be undone any more."""
    if host.begun is not None:
        host.begun["stands"] = True
        keep_open(host, host.begun)


def keep_open(host: Host, begun: dict[str, Any]) -> None:
    """Write the operation's own file, or delete it once the operation has ended for every module."""
    path = os.path.join(folder_of(host), f".{begun['id']}.json")
    if begun["modules"]:
        write(path, json.dumps(begun).encode(), host.private_mode)
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def end_cut_off(host: Host, *, back: bool, stood: bool) -> None:
    """Log the end of operations that were interrupted; those of processes that still run are left alone.

    Args:
        host: This host.
        back: Whether a change was undone just now.
        stood: Whether a change was interrupted after it had been completed.
    """
    folder = folder_of(host)
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        if name.startswith(".") and name.endswith(".json"):
            begun = read_json(os.path.join(folder, name), {})
            # An 'unlock' needs no lock; it may end now and delete its file.
            if begun and not (begun["started"] and begun["started"] == start_of(begun["pid"])):
                end(host, begun, how_it_went(begun, back=back, stands=begun["stands"] or stood))


def how_it_went(begun: dict[str, Any], *, back: bool, stands: bool) -> dict[str, Any]:
    """Return the log's record for an operation that was interrupted: whether it was undone or completed."""
    if begun["record"].get("action") in ("unlock", *SESSIONS):
        return {"result": "unknown", "reason": f"{INTERRUPTED}."}
    if back:
        return {"result": "taken back", "reason": f"{INTERRUPTED}; the old release was restored."}
    if stands:
        result = "removed" if begun["record"].get("action") == "remove" else "good"
        return {"result": result, "reason": f"{INTERRUPTED} after the change was complete."}
    return {"result": "taken back", "reason": f"{INTERRUPTED}; nothing was switched."}


def add(host: Host, modules: Iterable[str], record: dict[str, Any]) -> None:
    """Add a line to modules' logs, safely on the disk."""
    line = json.dumps({"at": now(), **record}).encode() + b"\n"
    for module in modules:
        append(host, module, line)
    sync(folder_of(host))


def append(host: Host, module: str, lines: bytes) -> None:
    """Append lines to a module's log, safely on the disk; lines that others append at the same time are kept."""
    handle = os.open(log_of(host, module), os.O_RDWR | os.O_APPEND | os.O_CREAT, host.private_mode)
    with os.fdopen(handle, "ab") as file:
        with contextlib.suppress(PermissionError):
            os.fchmod(handle, host.private_mode)
        size = os.fstat(handle).st_size
        # A line that a crash left incomplete ends here, and does not spoil this one.
        file.write(b"\n" + lines if size and os.pread(handle, 1, size - 1) != b"\n" else lines)
        file.flush()
        os.fsync(handle)


def bring_along(host: Host, module: str) -> None:
    """Move the log of an earlier version out of the module's folder, so that it outlives the folder."""
    before = host.of(module, "log.jsonl")
    text = read(before)
    if text is not None:
        append(host, module, text)
        sync(folder_of(host))
        with contextlib.suppress(FileNotFoundError):  # An 'unlock' waits for no lock, and may move it, too.
            os.unlink(before)


def entries(host: Host, module: str) -> list[dict[str, Any]]:
    """Return the records of a module's log, oldest first, with those of earlier versions.

    A line that was moved twice, because the first move was interrupted, is returned once.
    """
    texts = [read(path) or b"" for path in (host.of(module, "log.jsonl"), log_of(host, module))]
    lines = dict.fromkeys(line for text in texts for line in text.splitlines())
    records = list(filter(None, map(parsed, lines)))
    removed = map(parsed, (read(os.path.join(host.modules, "removed.jsonl")) or b"").splitlines())
    records += [{**record, "result": "removed"} for record in removed if record and record.get("module") == module]
    return sorted(records, key=lambda record: str(record["at"]))


def parsed(line: bytes) -> dict[str, Any] | None:
    """Return a line's record; None for a line that a crash left incomplete."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "at" in record else None
