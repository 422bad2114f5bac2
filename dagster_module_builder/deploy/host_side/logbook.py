"""What was done with each module here: a line when it begins, on the disk before anything changes, and one at its end.

The logs lie beside the modules' folders, so that they outlive them. What has begun and not ended is named in a file of
its own until it ends; whoever comes next ends what was cut off.
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

#: Why something ended that nobody ended.
CUT_OFF = "It was cut off"


def folder_of(host: Host) -> str:
    """Return the folder of the logs."""
    return os.path.join(host.modules, ".logs")


def log_of(host: Host, module: str) -> str:
    """Return the path of a module's log."""
    return os.path.join(folder_of(host), f"{module}.jsonl")


def begin(host: Host, modules: Sequence[str], record: dict[str, Any]) -> dict[str, Any]:
    """Have on the disk that something begins.

    Args:
        host: This one.
        modules: With which modules.
        record: What is said of it: ``action``, ``who``, ``command``.

    Returns:
        What has begun, for ``end``.
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
    """Have on the disk that something has ended.

    Args:
        host: This one.
        begun: What ``begin`` returned; its ``modules`` become those that have not ended yet.
        record: How: ``result``, ``reason``, ``release``.
        modules: With which modules; None for all of them.
    """
    ended = [one for one in begun["modules"] if modules is None or one in modules]
    seconds = round(max(0.0, time.time() - begun["since"]), 1)
    add(host, ended, {**begun["record"], **record, "id": begun["id"], "event": "ended", "seconds": seconds})
    begun["modules"] = [one for one in begun["modules"] if one not in ended]
    keep_open(host, begun)


def finish(host: Host, record: dict[str, Any], modules: Sequence[str] | None = None) -> None:
    """End what this conversation has begun, with some or all of the modules; once for each."""
    if host.begun is not None and host.begun["modules"]:
        end(host, host.begun, record, modules)


def let_stand(host: Host) -> None:
    """Have on the disk that nothing is taken back any more."""
    if host.begun is not None:
        host.begun["stands"] = True
        keep_open(host, host.begun)


def keep_open(host: Host, begun: dict[str, Any]) -> None:
    """Remember what has begun, as long as it has not ended with every module."""
    path = os.path.join(folder_of(host), f".{begun['id']}.json")
    if begun["modules"]:
        write(path, json.dumps(begun).encode(), host.private_mode)
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def end_cut_off(host: Host, *, back: bool, stood: bool) -> None:
    """End what was cut off before; what a process still does is left alone.

    Args:
        host: This one.
        back: Whether a change was taken back just now.
        stood: Whether a change was cut off when it stood already.
    """
    folder = folder_of(host)
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        if name.startswith(".") and name.endswith(".json"):
            begun = read_json(os.path.join(folder, name), {})
            # An 'unlock' that ends meanwhile, and needs no lock, has taken its file away.
            if begun and not (begun["started"] and begun["started"] == start_of(begun["pid"])):
                end(host, begun, how_it_went(begun, back=back, stands=begun["stands"] or stood))


def how_it_went(begun: dict[str, Any], *, back: bool, stands: bool) -> dict[str, Any]:
    """Say how something went that was cut off: it was taken back, or stands."""
    if begun["record"].get("action") == "unlock":
        return {"result": "unknown", "reason": f"{CUT_OFF}."}
    if back:
        return {"result": "taken back", "reason": f"{CUT_OFF}; the old release was put back."}
    if stands:
        result = "removed" if begun["record"].get("action") == "remove" else "good"
        return {"result": result, "reason": f"{CUT_OFF} when the change stood already."}
    return {"result": "taken back", "reason": f"{CUT_OFF}; nothing is switched."}


def add(host: Host, modules: Iterable[str], record: dict[str, Any]) -> None:
    """Add a line to modules' logs, on the disk."""
    line = json.dumps({"at": now(), **record}).encode() + b"\n"
    for module in modules:
        append(host, module, line)
    sync(folder_of(host))


def append(host: Host, module: str, lines: bytes) -> None:
    """Append lines to a module's log, on the disk; what others append meanwhile, without a lock, stays."""
    handle = os.open(log_of(host, module), os.O_RDWR | os.O_APPEND | os.O_CREAT, host.private_mode)
    with os.fdopen(handle, "ab") as file:
        with contextlib.suppress(PermissionError):
            os.fchmod(handle, host.private_mode)
        size = os.fstat(handle).st_size
        # What a crash left half written is a line of its own, and does not spoil this one.
        file.write(b"\n" + lines if size and os.pread(handle, 1, size - 1) != b"\n" else lines)
        file.flush()
        os.fsync(handle)


def bring_along(host: Host, module: str) -> None:
    """Have the log of an earlier version, in the module's folder, where it outlives that."""
    before = host.of(module, "log.jsonl")
    text = read(before)
    if text is not None:
        append(host, module, text)
        sync(folder_of(host))
        with contextlib.suppress(FileNotFoundError):  # An 'unlock', which waits for no lock, brings it along too.
            os.unlink(before)


def entries(host: Host, module: str) -> list[dict[str, Any]]:
    """Return the lines of a module's log, oldest first, with those of earlier versions.

    A line that was brought along twice, since that was cut off, is one line.
    """
    texts = [read(path) or b"" for path in (host.of(module, "log.jsonl"), log_of(host, module))]
    lines = dict.fromkeys(line for text in texts for line in text.splitlines())
    found = list(filter(None, map(parsed, lines)))
    removed = map(parsed, (read(os.path.join(host.modules, "removed.jsonl")) or b"").splitlines())
    found += [{**one, "result": "removed"} for one in removed if one and one.get("module") == module]
    return sorted(found, key=lambda one: str(one["at"]))


def parsed(line: bytes) -> dict[str, Any] | None:
    """Return a line's content; None for one that a crash left half written."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "at" in found else None
