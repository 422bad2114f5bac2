"""After the switch: the new release is kept and the oldest are removed, or everything is restored."""

from __future__ import annotations

import contextlib
import os

from . import automation, logbook
from .compose import drop, image_of
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
    """Keep the new release: drop the journal, write the log, remove releases that are too old."""
    problems: list[str] = []
    for module in modules:
        with noted(problems):
            let_serve(host, module)
    # Before the journal is dropped: an interruption here restores the old release with its services.
    services = intent(host).get("services") or {"gone": []}
    if services["gone"]:
        with noted(problems):
            drop(host, services["folder"], services["gone"])
    forget(host)
    # From here on the release is kept, whatever fails.
    host.left_hooks.clear()
    changed: dict[str, Any] = {"renamed": [], "stopped": [], "missed": []}
    with noted(problems):
        changed = automation.settle(host)
    busy = code_in_use(host)
    pruned: list[str] = []
    for module in modules:
        with noted(problems):
            forget_remains(host, module)
            pruned += prune(host, module, keep, busy)
        with noted(problems):
            retire_servers(host, module, retire_after)
        with noted(problems):
            release = read_json(host.of(module, STATE), {}).get("current")
            logbook.finish(host, {**log, "result": "good", "release": release}, [module])
    return {"pruned": pruned, "stopped": services["gone"], "problems": problems, "automation": changed}


@contextlib.contextmanager
def noted(problems: list[str]) -> Iterator[None]:
    """Add a failure in the block to the problems for the user, and go on."""
    try:
        yield
    except (RefusedError, OSError) as error:
        problems.append(str(error))


def code_in_use(host: Host) -> str | None:
    """Return a text that names the code of all runs in progress; None if Dagster does not answer."""
    try:
        return " ".join(run["code"] for run in host.dagster.runs())
    except RefusedError:
        return None


def prune(host: Host, module: str, keep: int, busy: str | None) -> list[str]:
    """Remove old releases that no run uses, and environments that no release uses; return the removed releases."""
    state = read_json(host.of(module, STATE), {})
    present = known(host, module)
    needed = {state.get("current"), state.get("previous")}
    old = [release for release in sorted(present["releases"], reverse=True) if release not in needed]
    spare = max(keep - len(needed - {None}), 0)
    named = Needed(host)
    old = [release for release in old[spare:] if busy is not None and f"/releases/{release}" not in busy]
    gone = [release for release in old if not named.at_all(module, "releases", release)]
    for release in [*gone, *present["bad"][:-1]]:
        folder = host.release(module, release)
        set_aside(folder, f"{folder}.gone")
        remove_later(f"{folder}.gone")
        remove_tree(host.of(module, "env", f"{release.split('.')[0]}.env"))
    for release in gone:
        forget_image(host, module, release, present["releases"][release].get("image"))
    kept = {record.get("environment") for name, record in present["releases"].items() if name not in gone}
    for name in present["environments"]:
        if name not in kept and not named.at_all(module, "venvs", name):
            remove_tree(host.of(module, "venvs", name))
    return gone


def go_back(host: Host, modules: list[Any], log: dict[str, Any]) -> dict[str, Any]:
    """Restore the old release."""
    # The client is here to run the hooks for that.
    host.left_hooks.clear()
    problems = []
    record = {"result": "bad", **log}
    if is_pending(host):
        problems = undo(host, lambda: logbook.finish(host, record))
        problems += reload_quietly(host)
    problems += automation.resume_quietly(host)
    drop_begun(host)
    for module in modules:
        folder = host.of(module, "releases")
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            if name.endswith(".tmp"):
                with noted(problems):
                    remove_tree(os.path.join(folder, name))
    with noted(problems):
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
    """Remove a module's files and containers, which Dagster does not load any more; called again, go on.

    Args:
        host: This host.
        module: The module.
        log: What the log records.
        services: The Compose services of the module.
        data: The module's data and its ``dump``; remembered until it is deleted.
        deletes: Whether to delete the data.
    """
    problems: list[str] = []
    if data:
        image = services and image_of(host, services["folder"], services["names"])
        note_remains(host, module, {**data, "image": image or read_remains(host, module).get("image")})
    if services:
        with noted(problems):
            drop(host, services["folder"], services["names"])
    forget(host)
    # From here on Dagster does not have the module, whatever fails.
    with noted(problems):
        drop_all(host, module)
    with noted(problems):
        gone = os.path.join(host.modules, f".journal.{module}.gone")
        if os.path.isdir(host.of(module)):
            set_aside(host.of(module), gone)
        remove_tree(gone)
    deleted: list[str] = []
    if data and deletes:
        from .deletion import delete

        with noted(problems):
            deleted += delete(host, **data)
            forget_remains(host, module)
    with noted(problems):
        logbook.finish(host, {**log, "result": "removed"}, [module])
    return {"deleted": deleted, "problems": problems}
