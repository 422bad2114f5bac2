"""One deployer at a time; the next one recovers what an interrupted one left."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time

from . import logbook
from .automation import resume_quietly
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
    """Return the mode of the lock, and of the file that says who holds it.

    Whoever may read a file may lock it (flock(2)), so only those who may deploy can read it.
    """
    return host.private_mode


def lock_holder(host: Host) -> dict[str, Any] | None:
    """Return who holds the lock; None if it is free."""
    path = lock_path(host)
    if not os.path.exists(path) or host.lock is not None:
        return None
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except PermissionError:
        return {"who": f"unknown: {path} belongs to another user"}
    except BlockingIOError:
        # A new holder takes the lock first, and writes its name after that.
        held: dict[str, Any] = read_json(os.path.join(host.modules, ".holder"), {}) or {"who": "unknown"}
        return held
    return None


def open_lock(host: Host) -> BinaryIO:
    """Open the lock; make one from an earlier version, which everyone could read, private."""
    handle = os.open(lock_path(host), os.O_RDWR | os.O_CREAT | os.O_APPEND, lock_mode(host))
    with contextlib.suppress(PermissionError):
        os.fchmod(handle, lock_mode(host))
    return os.fdopen(handle, "ab")


def take_lock(host: Host, holder: dict[str, Any], wait: float) -> list[str]:
    """Take the lock, and recover what an interrupted deployment left; return what was recovered."""
    host.lock = lock = open_lock(host)
    # A command that only checks the lock holds it for a moment.
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
    # The file counts only as long as this process holds the lock.
    put(os.path.join(host.modules, ".holder"), json.dumps(mine).encode(), lock_mode(host), lasting=False)
    return recover(host)


def held_by(host: Host) -> str:
    """Say who holds the lock."""
    mine = read_json(os.path.join(host.modules, ".holder"), {})
    return (
        f"{mine.get('who', 'Another user')} has been deploying here since {mine.get('since', 'an unknown time')} "
        f"({mine.get('command', 'unknown command')}): wait with --wait SECONDS, or run 'deploy.unlock'."
    )


def recover(host: Host) -> list[str]:
    """Undo what an earlier conversation left unfinished; return what was done, for the user."""
    recovered = []
    if is_pending(host):
        problems = undo(host, lambda: logbook.end_cut_off(host, back=True, stood=False))
        recovered += ["An earlier deployment was interrupted: the old release was restored.", *problems]
        reload_quietly(host)
    recovered += resume_quietly(host)
    with contextlib.suppress(OSError):
        logbook.end_cut_off(host, back=False, stood=has_stood(host))
    settle_servers(host)
    with contextlib.suppress(OSError):  # It is removed below, or reported.
        clear(f"{host.journal}.done")
    for path in leftovers(host):
        try:
            remove_tree(path)
        except OSError as error:
            recovered.append(f"An earlier deployment left {path}, which cannot be removed: {error.strerror}.")
    return recovered


def leftovers(host: Host) -> list[str]:
    """Return the paths that an earlier conversation began to make or to remove, and that nothing needs."""
    needed = Needed(host)
    paths = []
    for module in os.listdir(host.modules):
        releases = host.of(module, "releases")
        paths += [
            os.path.join(releases, release)
            for release in (os.listdir(releases) if os.path.isdir(releases) else [])
            if release.endswith((".tmp", ".gone")) and not needed.by_files(module, "releases", release)
        ]
        paths += [host.of(module, "venvs", environment) for environment in unfinished(host, needed, module)]
    begun = [name for name in os.listdir(host.modules) if name.startswith((".journal.", ".temporary"))]
    return paths + [os.path.join(host.modules, name) for name in begun]


def unfinished(host: Host, needed: Needed, module: str) -> list[str]:
    """Return the environments of a module that a deployment began to build; those made by hand have other names."""
    folder = host.of(module, "venvs")
    return [
        name
        for name in (os.listdir(folder) if os.path.isdir(folder) else [])
        if OURS.fullmatch(name)
        and not os.path.exists(os.path.join(folder, name, ".complete"))
        and not needed.by_files(module, "venvs", name)
    ]


def unlock(host: Host, modules: Sequence[str] = (), log: dict[str, Any] | None = None) -> dict[str, Any]:
    """End the conversation that holds the lock; it undoes its work first.

    Args:
        host: This host.
        modules: The modules whose logs record it.
        log: What the logs record.

    Returns:
        ``held``: who held the lock; None if it was free.

    Raises:
        RefusedError: The process named as holder has ended, or cannot be told apart from another one.
    """
    held = lock_holder(host)
    if held is None:
        return {"held": None}
    # A full disk must not keep the lock from being freed.
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
        RefusedError: The process named as holder has ended, or cannot be told apart from another one.
    """
    process = int(held.get("pid", 0))
    if not (process and end(process, lambda: is_holder(host, held))):
        named = f"Process {process} is another program by now" if process else "The holder is not known"
        raise RefusedError(
            "lock",
            f"The lock is held, but not by the process that {host.modules}/.holder names. {named}: nothing was ended. "
            f"The lock becomes free a minute after its deployment has ended. Run 'fuser {lock_path(host)}' on the host "
            f"to see the holder.",
        )
    for _ in range(int(UNDOING + SIGN_OF_LIFE) * 5):
        if lock_holder(host) is None:
            return
        time.sleep(0.2)
        host.client.check()
    end(process, lambda: is_holder(host, held), signal.SIGKILL)


def is_holder(host: Host, held: dict[str, Any]) -> bool:
    """Tell whether the process named as the lock's holder is the one that wrote its name there."""
    process = int(held["pid"])
    if "started" in held:
        return held["started"] is not None and held["started"] == start_of(process)
    # An earlier version wrote the process number alone.
    return has_open(process, lock_path(host))
