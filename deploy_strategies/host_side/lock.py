"""One deployer at a time; who comes next mends what the one before left."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time

from .client import SIGN_OF_LIFE, UNDOING
from .errors import RefusedError
from .files import now, put, read_json, remove_tree
from .journal import clear, is_pending, reload_quietly, undo
from .servers import mend_servers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .host import Host


def lock_holder(host: Host) -> dict[str, Any] | None:
    """Return who holds the lock, or None where it is free."""
    path = os.path.join(host.modules, ".lock")
    if not os.path.exists(path) or host.lock is not None:
        return None
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            held: dict[str, Any] = read_json(os.path.join(host.modules, ".holder"), {})
            return held
    return None


def take_lock(host: Host, holder: dict[str, Any], wait: float) -> list[str]:
    """Take the lock, and mend what an earlier death left."""
    host.lock = lock = open(os.path.join(host.modules, ".lock"), "ab")  # noqa: SIM115 - held to the end
    # Somebody who only looks holds it for a moment.
    until = time.monotonic() + max(wait, 1.0)
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > until:
                lock.close()
                host.lock = None
                raise RefusedError("locked", held_by(host)) from None
        host.client.check()
        time.sleep(0.05)
    mine = {**holder, "pid": os.getpid(), "since": now()}
    # It means something only as long as this process holds the lock.
    put(os.path.join(host.modules, ".holder"), json.dumps(mine).encode(), lasting=False)
    return mend(host)


def held_by(host: Host) -> str:
    """Say who holds the lock."""
    mine = read_json(os.path.join(host.modules, ".holder"), {})
    return (
        f"{mine.get('who', 'somebody')} has been deploying here since {mine.get('since', 'a while')} "
        f"({mine.get('command', 'unknown')}): wait with --wait SECONDS, or see 'deploy.unlock'."
    )


def mend(host: Host) -> list[str]:
    """Undo what an earlier conversation left half done; return what was done."""
    mended = []
    if is_pending(host):
        mended += ["An earlier deployment was cut off: the old release was put back.", *undo(host)]
        reload_quietly(host)
    mend_servers(host)
    for name in os.listdir(host.modules):
        releases = host.of(name, "releases")
        for one in os.listdir(releases) if os.path.isdir(releases) else []:
            if one.endswith((".tmp", ".gone")):
                remove_tree(os.path.join(releases, one))
        venvs = host.of(name, "venvs")
        for one in os.listdir(venvs) if os.path.isdir(venvs) else []:
            if not os.path.exists(os.path.join(venvs, one, ".complete")):
                remove_tree(os.path.join(venvs, one))
    clear(f"{host.journal}.done")
    for one in os.listdir(host.modules):
        if one.startswith((".journal.", ".temporary")):
            remove_tree(os.path.join(host.modules, one))
    return mended


def unlock(host: Host) -> dict[str, Any]:
    """End the conversation that holds the lock, which undoes its work first."""
    held = lock_holder(host)
    if not held:
        return {"held": None}
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(held["pid"]), signal.SIGTERM)
    for _ in range(int(UNDOING + SIGN_OF_LIFE) * 5):
        if lock_holder(host) is None:
            return {"held": held}
        time.sleep(0.2)
        host.client.check()
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(held["pid"]), signal.SIGKILL)
    return {"held": held}
