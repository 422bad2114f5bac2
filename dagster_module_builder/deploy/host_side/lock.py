"""One deployer at a time; who comes next recovers what the one before left."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time

from . import logbook
from .client import SIGN_OF_LIFE, UNDOING
from .errors import RefusedError
from .files import now, put, read_json, remove_tree
from .journal import clear, has_stood, is_pending, reload_quietly, undo
from .needed import OURS, Needed
from .processes import end, has_open, start_of
from .server_end import settle_servers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, BinaryIO

    from .host import Host


def lock_path(host: Host) -> str:
    """Return the path of the lock."""
    return os.path.join(host.modules, ".lock")


def lock_mode(host: Host) -> int:
    """Return the rights to the lock and to the file that says who holds it.

    Whoever may read a file may lock it (flock(2)): nobody else than those who may deploy.
    """
    return host.private_mode


def lock_holder(host: Host) -> dict[str, Any] | None:
    """Return who holds the lock, or None where it is free."""
    path = lock_path(host)
    if not os.path.exists(path) or host.lock is not None:
        return None
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except PermissionError:
        return {"who": f"unknown: {path} belongs to another user"}
    except BlockingIOError:
        # Whoever is the first to hold it has not said so yet.
        held: dict[str, Any] = read_json(os.path.join(host.modules, ".holder"), {}) or {"who": "unknown"}
        return held
    return None


def open_lock(host: Host) -> BinaryIO:
    """Open the lock, and have nobody else open it; that of an earlier version could be read by all."""
    handle = os.open(lock_path(host), os.O_RDWR | os.O_CREAT | os.O_APPEND, lock_mode(host))
    with contextlib.suppress(PermissionError):
        os.fchmod(handle, lock_mode(host))
    return os.fdopen(handle, "ab")


def take_lock(host: Host, holder: dict[str, Any], wait: float) -> list[str]:
    """Take the lock, and recover what an earlier death left."""
    host.lock = lock = open_lock(host)
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
    mine = {**holder, "pid": os.getpid(), "started": start_of(os.getpid()), "since": now()}
    # It means something only as long as this process holds the lock.
    put(os.path.join(host.modules, ".holder"), json.dumps(mine).encode(), lock_mode(host), lasting=False)
    return recover(host)


def held_by(host: Host) -> str:
    """Say who holds the lock."""
    mine = read_json(os.path.join(host.modules, ".holder"), {})
    return (
        f"{mine.get('who', 'somebody')} has been deploying here since {mine.get('since', 'a while')} "
        f"({mine.get('command', 'unknown')}): wait with --wait SECONDS, or see 'deploy.unlock'."
    )


def recover(host: Host) -> list[str]:
    """Undo what an earlier conversation left half done; return what was done."""
    recovered = []
    if is_pending(host):
        problems = undo(host, lambda: logbook.end_cut_off(host, back=True, stood=False))
        recovered += ["An earlier deployment was cut off: the old release was put back.", *problems]
        reload_quietly(host)
    with contextlib.suppress(OSError):
        logbook.end_cut_off(host, back=False, stood=has_stood(host))
    settle_servers(host)
    with contextlib.suppress(OSError):  # It is removed below, or named.
        clear(f"{host.journal}.done")
    for path in leftovers(host):
        try:
            remove_tree(path)
        except OSError as error:
            recovered.append(f"{path} is left from an earlier deployment and cannot be removed: {error.strerror}.")
    return recovered


def leftovers(host: Host) -> list[str]:
    """Return what an earlier conversation began to bring or to remove, and nothing needs."""
    needed = Needed(host)
    found = []
    for name in os.listdir(host.modules):
        releases = host.of(name, "releases")
        found += [
            os.path.join(releases, one)
            for one in (os.listdir(releases) if os.path.isdir(releases) else [])
            if one.endswith((".tmp", ".gone")) and not needed.by_files(name, "releases", one)
        ]
        found += [host.of(name, "venvs", one) for one in unfinished(host, needed, name)]
    begun = [one for one in os.listdir(host.modules) if one.startswith((".journal.", ".temporary"))]
    return found + [os.path.join(host.modules, one) for one in begun]


def unfinished(host: Host, needed: Needed, module: str) -> list[str]:
    """Return the environments of a module that a deployment began to build; those made by hand are called otherwise."""
    folder = host.of(module, "venvs")
    return [
        name
        for name in (os.listdir(folder) if os.path.isdir(folder) else [])
        if OURS.fullmatch(name)
        and not os.path.exists(os.path.join(folder, name, ".complete"))
        and not needed.by_files(module, "venvs", name)
    ]


def unlock(host: Host, modules: Sequence[str] = (), log: dict[str, Any] | None = None) -> dict[str, Any]:
    """End the conversation that holds the lock, which undoes its work first.

    Args:
        host: This one.
        modules: In whose logs to note it.
        log: What is said of it there.

    Raises:
        RefusedError: The process that is named as its holder has ended, or cannot be told from another one.
    """
    held = lock_holder(host)
    if held is None:
        return {"held": None}
    # A full disk is no reason to leave the lock where it is.
    with contextlib.suppress(OSError):
        host.begun = logbook.begin(host, modules, {**(log or {}), "action": "unlock", "holder": held.get("who")})
    record: dict[str, Any] = {"result": "bad"}
    try:
        end_holder(host, held)
        record = {"result": "good"}
    except RefusedError as error:
        record["reason"] = str(error)
        raise
    finally:
        with contextlib.suppress(OSError):
            logbook.finish(host, record)
    return {"held": held}


def end_holder(host: Host, held: dict[str, Any]) -> None:
    """End the conversation that holds the lock.

    Raises:
        RefusedError: The process that is named as its holder has ended, or cannot be told from another one.
    """
    process = int(held.get("pid", 0))
    if not (process and end(process, lambda: is_holder(host, held))):
        named = f"Process {process}, which is said to hold it, is another one by now" if process else "It is not known"
        raise RefusedError(
            "lock",
            f"The lock is held, but not by whom {host.modules}/.holder names. {named}: nothing was ended. The lock is "
            f"free a minute after its deployment is gone; 'fuser {lock_path(host)}' on the host says who has it.",
        )
    for _ in range(int(UNDOING + SIGN_OF_LIFE) * 5):
        if lock_holder(host) is None:
            return
        time.sleep(0.2)
        host.client.check()
    end(process, lambda: is_holder(host, held), signal.SIGKILL)


def is_holder(host: Host, held: dict[str, Any]) -> bool:
    """Tell whether the process that is named as the lock's holder is the one that wrote so."""
    process = int(held["pid"])
    if "started" in held:
        return held["started"] is not None and held["started"] == start_of(process)
    # An earlier version noted the number alone.
    return has_open(process, lock_path(host))
