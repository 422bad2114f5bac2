"""After the switch: the new release stands and the oldest go, or everything is put back."""

from __future__ import annotations

import contextlib
import os

from . import logbook
from .compose import drop, image_of
from .deletion import delete
from .errors import RefusedError
from .files import read_json, remove_later, remove_tree, set_aside
from .host import STATE
from .images import forget_image
from .inspection import known
from .journal import forget, intent, is_pending, reload_quietly, undo
from .needed import Needed
from .remains import forget_remains, note_remains, read_remains
from .server_end import RETIRE_AFTER, drop_all, drop_begun, let_serve, retire_servers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .host import Host


def keep(
    host: Host, modules: list[str], keep: int, log: dict[str, Any], retire_after: float = RETIRE_AFTER
) -> dict[str, Any]:
    """Let the new release stand: forget how to undo it, write it into the log, remove what is too old."""
    problems: list[str] = []
    for one in modules:
        with told(problems):
            let_serve(host, one)
    # Before the journal goes: whoever is cut off here has the old release back, with its services.
    services = intent(host).get("services") or {"gone": []}
    if services["gone"]:
        with told(problems):
            drop(host, services["folder"], services["gone"])
    forget(host)
    # From here on the release stands, whatever fails.
    busy = code_in_use(host)
    pruned: list[str] = []
    for one in modules:
        with told(problems):
            forget_remains(host, one)
            pruned += prune(host, one, keep, busy)
        with told(problems):
            retire_servers(host, one, retire_after)
        with told(problems):
            release = read_json(host.of(one, STATE), {}).get("current")
            logbook.finish(host, {**log, "result": "good", "release": release}, [one])
    return {"pruned": pruned, "stopped": services["gone"], "problems": problems}


@contextlib.contextmanager
def told(problems: list[str]) -> Iterator[None]:
    """Add a failure of what follows to what a person has to look at, and go on."""
    try:
        yield
    except (RefusedError, OSError) as error:
        problems.append(str(error))


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
    named = Needed(host)
    old = [one for one in old[spare:] if busy is not None and f"/releases/{one}" not in busy]
    gone = [one for one in old if not named.at_all(module, "releases", one)]
    for one in [*gone, *there["bad"][:-1]]:
        folder = host.release(module, one)
        set_aside(folder, f"{folder}.gone")
        remove_later(f"{folder}.gone")
        remove_tree(host.of(module, "env", f"{one.split('.')[0]}.env"))
    for one in gone:
        forget_image(host, module, one, there["releases"][one].get("image"))
    kept = {record.get("environment") for one, record in there["releases"].items() if one not in gone}
    for one in there["environments"]:
        if one not in kept and not named.at_all(module, "venvs", one):
            remove_tree(host.of(module, "venvs", one))
    return gone


def go_back(host: Host, modules: list[Any], log: dict[str, Any]) -> dict[str, Any]:
    """Put the old release back."""
    problems = []
    record = {"result": "bad", **log}
    if is_pending(host):
        problems = undo(host, lambda: logbook.finish(host, record))
        problems += reload_quietly(host)
    drop_begun(host)
    for one in modules:
        folder = host.of(one, "releases")
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            if name.endswith(".tmp"):
                with told(problems):
                    remove_tree(os.path.join(folder, name))
    with told(problems):
        logbook.finish(host, record)
    return {"problems": problems}


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
    problems: list[str] = []
    if data:
        image = services and image_of(host, services["folder"], services["names"])
        note_remains(host, module, {**data, "image": image or read_remains(host, module).get("image")})
    if services:
        with told(problems):
            drop(host, services["folder"], services["names"])
    forget(host)
    # From here on the module is no longer Dagster's, whatever fails.
    with told(problems):
        drop_all(host, module)
    with told(problems):
        gone = os.path.join(host.modules, f".journal.{module}.gone")
        if os.path.isdir(host.of(module)):
            set_aside(host.of(module), gone)
        remove_tree(gone)
    deleted: list[str] = []
    if data and deletes:
        with told(problems):
            deleted += delete(host, **data)
            forget_remains(host, module)
    with told(problems):
        logbook.finish(host, {**log, "result": "removed"}, [module])
    return {"deleted": deleted, "problems": problems}
