"""The switch: shared files, settings and links change together, and Dagster has to take it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import stat
import time

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
    """Put the new release into Dagster's files, and prove that Dagster has loaded it.

    Args:
        host: This one.
        files: Path below the base, digest before, text (Base64) or None, and mode of each shared file; ``private``
            where others may not read it, whatever its mode was before.
        modules: For each module its release, and the text (Base64) of its settings.
        expect: The code folder that Dagster has to name for each location.
        absent: The locations that Dagster must not know any more.
        limit: Seconds until Dagster has to have loaded them.
        services: The services of Dagster's Compose project that have to run: its ``folder``, and their ``names``.
    """
    before = host.dagster.daemons()
    changes = [change(host, one) for one in files] + [one for each in modules for one in changes_of(host, each)]
    # The order in which they are put in place, and the reverse of that in which they are put back.
    changes.sort(key=lambda one: os.path.basename(one["path"]) == "workspace.yaml")
    stale = [one["path"] for one in changes if one["found"] != one["before"]]
    if stale:
        raise RefusedError("changed", f"{', '.join(stale)} on the host was changed meanwhile: deploy again.")
    if mounted := [one["path"] for one in changes if is_mounted_singly(one["path"])]:
        raise RefusedError(
            "mounted", f"{', '.join(mounted)} is mounted singly and cannot be replaced: mount its folder."
        )
    write_journal(host, changes, modules, services and with_old(host, services))
    put_in_place(host, changes, modules)
    if services:
        start(host, services)
    started = time.monotonic()
    host.dagster.reload(limit)
    await_locations(host, expect, absent, started + limit)
    daemons = host.dagster.daemons()
    if before and not daemons:
        raise RefusedError("daemon", "Dagster's daemon is not alive any more.")
    return {"seconds": round(time.monotonic() - started, 3), "daemons": daemons}


def change(host: Host, one: dict[str, Any]) -> dict[str, Any]:
    """Return one shared file's change, as the journal wants it."""
    path = os.path.realpath(os.path.join(host.base, one["path"]))
    text = None if one["text"] is None else base64.b64decode(one["text"])
    found = changed(path, one["before"], text, one["mode"])
    return {**found, "mode": found["mode"] & 0o700} if one.get("private") else found


def changed(path: str, before: str | None, text: bytes | None, mode: int) -> dict[str, Any]:
    """Return a file's change; the mode of a file that is there stays."""
    old = read(path)
    if old is not None:
        mode = stat.S_IMODE(os.stat(path).st_mode)
    return {"path": path, "before": before, "found": digest(old), "old": old, "text": text, "mode": mode}


def changes_of(host: Host, each: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the changes of one module's own files."""
    module, identity = each["module"], each["release"]
    state_path = host.of(module, STATE)
    old = read_json(state_path, {})
    previous = old.get("current") if old.get("current") != identity else old.get("previous")
    state = {**old, "current": identity, "previous": previous, "since": now(), **each.get("state", {})}
    files = [(state_path, json.dumps(state, indent=2).encode(), 0o644)]
    if each.get("env") is not None:
        files.append((host.of(module, "env", f"{identity}.env"), base64.b64decode(each["env"]), 0o600))
    return [changed(path, digest(read(path)), text, mode) for path, text, mode in files]


def put_in_place(host: Host, changes: list[dict[str, Any]], modules: list[Any]) -> None:
    """Put everything in place, the workspace's own files last."""
    for one in modules:
        if one.get("new"):
            release = host.release(one["module"], one["release"])
            os.rename(f"{release}.tmp", release)
            sync(os.path.dirname(release))
    for one in changes:
        host.client.check()
        if one["text"] is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(one["path"])
            sync(os.path.dirname(one["path"]))
        elif one["before"] != digest(one["text"]):
            write(one["path"], one["text"], one["mode"])
    for one in modules:
        state = read_json(host.of(one["module"], STATE), {})
        for name in ("current", "previous"):
            identity = state.get(name)
            point(host.of(one["module"], name), identity and os.path.join("releases", identity))
        sync(host.of(one["module"]))


def await_locations(host: Host, expect: dict[str, str], absent: Sequence[str], until: float) -> None:
    """Wait until Dagster has loaded every location from the code that it is to have."""
    while True:
        host.client.check()
        found = host.dagster.locations()
        wrong = [problem for problem in (complaint(found, *one) for one in expect.items()) if problem]
        wrong += [f"{name}: still in Dagster" for name in absent if name in found]
        if not wrong:
            return
        failed = [name for name in expect if found.get(name, {}).get("error")]
        if failed or time.monotonic() > until:
            raise RefusedError("health", "Dagster did not take it: " + "; ".join(wrong))
        time.sleep(0.3)
