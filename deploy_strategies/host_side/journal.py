"""What is being switched, on the disk, so that whoever comes next can undo it."""

from __future__ import annotations

import contextlib
import json
import os

from .client import UNDOING
from .compose import drop_new, start_old
from .errors import RefusedError
from .files import digest, keep_owner, point, put, read, read_json, remove_tree, sync, target_of, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .host import Host


def write_journal(
    host: Host, changes: list[dict[str, Any]], modules: list[Any], services: dict[str, Any] | None = None
) -> None:
    """Have on the disk what is about to be done, and everything that undoing it takes."""
    staged = f"{host.journal}.tmp"
    remove_tree(staged)
    os.mkdir(staged, 0o700)
    files = []
    for number, one in enumerate(changes):
        if one["old"] is not None:
            put(os.path.join(staged, f"{number}.old"), one["old"], 0o600)
        held = None if one["old"] is None else f"{number}.old"
        after = digest(one["text"])
        files.append({"path": one["path"], "before": one["before"], "after": after, "mode": one["mode"], "held": held})
    links = [(host.of(one["module"], name), target_of(host.of(one["module"], name)))
             for one in modules for name in ("current", "previous")]  # fmt: skip
    made = [host.release(one["module"], one["release"]) for one in modules if one.get("new")]
    text = json.dumps({"files": files, "links": links, "made": made, "services": services}).encode()
    write(os.path.join(staged, "journal.json"), text, 0o600)
    os.rename(staged, host.journal)
    sync(host.modules)


def forget(host: Host) -> None:
    """Drop the journal: from here on nothing is undone."""
    if os.path.isdir(host.journal):
        done = f"{host.journal}.done"
        remove_tree(done)
        os.rename(host.journal, done)
        sync(host.modules)
        remove_tree(done)
    host.switched = False


def intent(host: Host) -> dict[str, Any]:
    """Return what is being switched; empty where nothing is."""
    found: dict[str, Any] = read_json(os.path.join(host.journal, "journal.json"), {})
    return found


def undo(host: Host) -> list[str]:
    """Put back what the journal says; a file that somebody changed since is left as it is, and named."""
    found = intent(host)
    problems = []
    services = found.get("services")
    if services:
        drop_new(services)
    for one in found["files"]:
        there = digest(read(one["path"]))
        if there == one["after"] != one["before"]:
            put_back(host, one)
        elif there != one["before"]:
            problems.append(f"{one['path']} was changed by somebody since, and is left as it is.")
    for link, target in found["links"]:
        if os.path.isdir(os.path.dirname(link)):
            point(link, target)
    for folder in found["made"]:
        if os.path.isdir(folder):
            remove_tree(f"{folder}.bad")
            os.rename(folder, f"{folder}.bad")
    if services:
        problems += start_old(services)
    forget(host)
    return problems


def put_back(host: Host, one: dict[str, Any]) -> None:
    """Put one file back, by a rename: a full disk does not stop it."""
    if one["held"] is None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(one["path"])
        return
    held = os.path.join(host.journal, one["held"])
    os.chmod(held, one["mode"])
    keep_owner(one["path"], held)
    os.rename(held, one["path"])
    sync(os.path.dirname(one["path"]))


def reload_quietly(host: Host) -> list[str]:
    """Have Dagster load what is there now; return why it did not."""
    try:
        host.dagster.reload(limit=UNDOING - 8)
    except RefusedError as error:
        return [str(error)]
    return []
