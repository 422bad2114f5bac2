"""The switch: shared files, settings and links change together, and Dagster must load the result."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import stat
import time

from .automation import remember
from .compose import start, with_old
from .dagster import complaint
from .errors import RefusedError
from .files import digest, is_mounted_singly, now, point, read, read_json, sync, write
from .host import STATE
from .journal import write_journal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .host import Host


def await_runs(host: Host, locations: list[str], limit: float) -> dict[str, Any]:
    """Wait until no run of these locations is in progress."""
    until = time.monotonic() + limit
    while True:
        runs = [run for run in host.dagster.runs() if run["location"] in locations]
        if not runs:
            return {"waited": True}
        if time.monotonic() > until:
            raise RefusedError("runs", f"{len(runs)} runs are still in progress: try again later, or without --drain.")
        host.client.answer(progress=f"waiting for {len(runs)} runs")
        for _ in range(20):
            host.client.check()
            time.sleep(0.1)


def switch(
    host: Host,
    files: list[Any],
    modules: list[Any],
    expect: dict[str, str],
    absent: Sequence[str] = (),
    limit: float = 120,
    services: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Put the new release into Dagster's files, and verify that Dagster has loaded it.

    Args:
        host: This host.
        files: The shared files: path below the base, digest before, text (Base64) or None, and mode; ``private`` if
            others may not read it, whatever its mode was before.
        modules: The modules: name, release, and the text (Base64) of the settings.
        expect: The code folder that Dagster must report for each location.
        absent: The locations that Dagster must not have any more.
        limit: Seconds until Dagster must have loaded them.
        services: The services of Dagster's Compose project that must run: its ``folder``, and their ``names``.
    """
    before = host.dagster.daemons()
    changes = [shared_change(host, file) for file in files]
    changes += [change for module in modules for change in module_changes(host, module)]
    # Files are put in place in this order, and restored in the reverse order.
    changes.sort(key=lambda change: os.path.basename(change["path"]) == "workspace.yaml")
    stale = [change["path"] for change in changes if change["found"] != change["before"]]
    if stale:
        raise RefusedError(
            "changed", f"{', '.join(stale)} on the host was changed during the deployment: deploy again."
        )
    if mounted := [change["path"] for change in changes if is_mounted_singly(change["path"])]:
        raise RefusedError(
            "mounted", f"{', '.join(mounted)} is mounted as a single file and cannot be replaced: mount its folder."
        )
    remember(host, expect)
    write_journal(host, changes, modules, services and with_old(host, services))
    put_in_place(host, changes, modules)
    if services:
        start(host, services)
    started = time.monotonic()
    host.dagster.reload(limit)
    await_locations(host, expect, absent, started + limit)
    daemons = host.dagster.daemons()
    if before and not daemons:
        raise RefusedError("daemon", "Dagster's daemon stopped at the switch: see its log on the host.")
    return {"seconds": round(time.monotonic() - started, 3), "daemons": daemons}


def shared_change(host: Host, file: dict[str, Any]) -> dict[str, Any]:
    """Return one shared file's change."""
    path = os.path.realpath(os.path.join(host.base, file["path"]))
    text = None if file["text"] is None else base64.b64decode(file["text"])
    change = file_change(path, file["before"], text, file["mode"])
    return {**change, "mode": change["mode"] & 0o700} if file.get("private") else change


def file_change(path: str, before: str | None, text: bytes | None, mode: int) -> dict[str, Any]:
    """Return a file's change for the journal; an existing file keeps its mode."""
    old = read(path)
    if old is not None:
        mode = stat.S_IMODE(os.stat(path).st_mode)
    return {"path": path, "before": before, "found": digest(old), "old": old, "text": text, "mode": mode}


def module_changes(host: Host, request: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the changes of one module's own files."""
    module, identity = request["module"], request["release"]
    state_path = host.of(module, STATE)
    old = read_json(state_path, {})
    previous = old.get("current") if old.get("current") != identity else old.get("previous")
    state = {**old, "current": identity, "previous": previous, "since": now(), **request.get("state", {})}
    files = [(state_path, json.dumps(state, indent=2).encode(), 0o644)]
    if request.get("env") is not None:
        files.append((host.of(module, "env", f"{identity}.env"), base64.b64decode(request["env"]), 0o600))
    return [file_change(path, digest(read(path)), text, mode) for path, text, mode in files]


def put_in_place(host: Host, changes: list[dict[str, Any]], modules: list[Any]) -> None:
    """Put everything in place, the workspace's own files last."""
    for module in modules:
        if module.get("new"):
            release = host.release(module["module"], module["release"])
            os.rename(f"{release}.tmp", release)
            sync(os.path.dirname(release))
    for change in changes:
        host.client.check()
        if change["text"] is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(change["path"])
            sync(os.path.dirname(change["path"]))
        elif change["before"] != digest(change["text"]):
            write(change["path"], change["text"], change["mode"])
    for module in modules:
        state = read_json(host.of(module["module"], STATE), {})
        for name in ("current", "previous"):
            identity = state.get(name)
            point(host.of(module["module"], name), identity and os.path.join("releases", identity))
        sync(host.of(module["module"]))


def await_locations(host: Host, expect: dict[str, str], absent: Sequence[str], until: float) -> None:
    """Wait until Dagster has loaded every location from its new code."""
    while True:
        host.client.check()
        locations = host.dagster.locations()
        wrong = [problem for problem in (complaint(locations, *location) for location in expect.items()) if problem]
        wrong += [f"{name}: still in Dagster" for name in absent if name in locations]
        if not wrong:
            return
        failed = [name for name in expect if locations.get(name, {}).get("error")]
        if failed or time.monotonic() > until:
            raise RefusedError("health", "Dagster did not load it: " + "; ".join(wrong))
        time.sleep(0.3)
