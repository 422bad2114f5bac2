"""After the switch: the new release stands and the oldest go, or everything is put back."""

from __future__ import annotations

import contextlib
import json
import os

from .compose import drop, image_of
from .errors import RefusedError
from .files import now, read_json, remove_later, remove_tree
from .host import STATE
from .images import forget_image
from .journal import forget, intent, reload_quietly, undo
from .remains import forget_remains, note_remains, read_remains
from .servers import DAEMON_READS, drop_all, drop_begun, let_serve, retire_servers
from .stored import delete
from .survey import known

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .host import Host


def keep(
    host: Host, modules: list[str], keep: int, log: dict[str, Any], retire_after: float = DAEMON_READS
) -> dict[str, Any]:
    """Let the new release stand: forget how to undo it, write it into the log, remove what is too old."""
    for one in modules:
        let_serve(host, one)
    # Before the journal goes: whoever is cut off here has the old release back, with its services.
    services = intent(host).get("services") or {"gone": []}
    if services["gone"]:
        drop(host, services["folder"], services["gone"])
    forget(host)
    busy = code_in_use(host)
    pruned = []
    for one in modules:
        forget_remains(host, one)
        note(host, one, {**log, "result": "good", "release": read_json(host.of(one, STATE), {}).get("current")})
        pruned += prune(host, one, keep, busy)
        retire_servers(host, one, retire_after)
    return {"pruned": pruned, "stopped": services["gone"]}


def code_in_use(host: Host) -> str | None:
    """Return where the code of the runs in progress is, as text; None where nobody knows."""
    try:
        return " ".join(run["code"] for run in host.dagster.runs())
    except RefusedError:
        return None


def prune(host: Host, module: str, keep: int, busy: str | None) -> list[str]:
    """Remove releases that are too old, unless runs still use them, and environments that none uses."""
    state = read_json(host.of(module, STATE), {})
    there = known(host, module)
    needed = {state.get("current"), state.get("previous")}
    old = [one for one in sorted(there["releases"], reverse=True) if one not in needed]
    spare = max(keep - len(needed - {None}), 0)
    gone = [one for one in old[spare:] if busy is not None and f"/releases/{one}" not in busy]
    for one in [*gone, *there["bad"][:-1]]:
        folder = host.release(module, one)
        os.rename(folder, f"{folder}.gone")
        remove_later(f"{folder}.gone")
        remove_tree(host.of(module, "env", f"{one.split('.')[0]}.env"))
    for one in gone:
        forget_image(host, module, one, there["releases"][one].get("image"))
    kept = {record.get("environment") for one, record in there["releases"].items() if one not in gone}
    for one in there["environments"]:
        if one not in kept:
            remove_tree(host.of(module, "venvs", one))
    return gone


def go_back(host: Host, modules: list[Any], log: dict[str, Any]) -> dict[str, Any]:
    """Put the old release back."""
    problems = []
    if os.path.isdir(host.journal):
        problems = undo(host)
        problems += reload_quietly(host)
    drop_begun(host)
    for one in modules:
        note(host, one, {**log, "result": "bad"})
        folder = host.of(one, "releases")
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            if name.endswith(".tmp"):
                remove_tree(os.path.join(folder, name))
    return {"problems": problems}


def note(host: Host, module: str, record: dict[str, Any]) -> None:
    """Add a line to a module's log."""
    with contextlib.suppress(OSError), open(host.of(module, "log.jsonl"), "ab") as file:
        file.write(json.dumps({"at": now(), **record}).encode() + b"\n")


def remove_module(
    host: Host,
    module: str,
    log: dict[str, Any],
    services: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    deletes: bool = False,
) -> dict[str, Any]:
    """Remove what a module has here, after Dagster has let it go; said again, it goes on where it was cut off.

    Args:
        host: This one.
        module: Whose.
        log: What is said of it in the logs.
        services: The services that are its own.
        data: What it has stored, and its ``dump``; remembered until it is deleted.
        deletes: Whether to delete that.
    """
    if data:
        image = services and image_of(host, services["folder"], services["names"])
        note_remains(host, module, {**data, "image": image or read_remains(host, module).get("image")})
    if services:
        drop(host, services["folder"], services["names"])
    forget(host)
    note(host, module, {**log, "result": "removed"})
    with contextlib.suppress(OSError), open(os.path.join(host.modules, "removed.jsonl"), "ab") as file:
        file.write(json.dumps({"at": now(), "module": module, **log}).encode() + b"\n")
    drop_all(host, module)
    gone = os.path.join(host.modules, f".journal.{module}.gone")
    remove_tree(gone)
    if os.path.isdir(host.of(module)):
        os.rename(host.of(module), gone)
        remove_tree(gone)
    if not (data and deletes):
        return {"deleted": []}
    deleted = delete(host, **data)
    forget_remains(host, module)
    return {"deleted": deleted}
