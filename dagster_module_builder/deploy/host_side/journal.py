"""What is being switched, on the disk, so that whoever comes next can undo it."""

from __future__ import annotations

import contextlib
import errno
import json
import os

from . import logbook
from .client import UNDOING
from .compose import drop_new, start_old
from .errors import RefusedError
from .files import (
    STAGED,
    digest,
    keep_owner,
    point,
    put,
    read,
    read_json,
    remove_tree,
    set_aside,
    sync,
    target_of,
    write,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .host import Host


#: What the old bytes of a file are called, beside it, while it may have to be put back.
OLD = ".deploy.old"


def is_pending(host: Host) -> bool:
    """Tell whether something was switched that may have to be undone."""
    return os.path.isfile(os.path.join(host.journal, "journal.json"))


def write_journal(
    host: Host, changes: list[dict[str, Any]], modules: list[Any], services: dict[str, Any] | None = None
) -> None:
    """Have on the disk what is about to be done, and everything that undoing it takes.

    The old bytes lie beside each file: undoing is a rename within one folder, wherever a link or a mount leads, and
    takes no room on a full disk. The journal comes first, so that none of these copies is left without its name.
    """
    staged = f"{host.journal}.tmp"
    remove_tree(staged)
    remove_tree(host.journal)
    os.mkdir(staged, 0o700)
    links = [(host.of(one["module"], name), target_of(host.of(one["module"], name)))
             for one in modules for name in ("current", "previous")]  # fmt: skip
    made = [host.release(one["module"], one["release"]) for one in modules if one.get("new")]
    files = [as_noted(one) for one in changes]
    text = json.dumps({"files": files, "links": links, "made": made, "services": services}).encode()
    write(os.path.join(staged, "journal.json"), text, 0o600)
    os.rename(staged, host.journal)
    sync(host.modules)
    for one in changes:
        if held := copy_of(one):
            write(held, one["old"], 0o600)


def as_noted(change: dict[str, Any]) -> dict[str, Any]:
    """Return a file's change as the journal has it: digests, the mode, and where the old bytes are held."""
    kept = {key: change[key] for key in ("path", "before", "mode")}
    return {**kept, "after": digest(change["text"]), "held": copy_of(change)}


def copy_of(change: dict[str, Any]) -> str | None:
    """Return where the old bytes of a file are held; None where there are none, or they do not change."""
    unchanged = change["before"] == digest(change["text"])
    return None if change["old"] is None or unchanged else change["path"] + OLD


def forget(host: Host, *, stands: bool = True) -> None:
    """Drop the journal: from here on nothing is undone; ``stands`` tells that what was switched stays."""
    if not is_pending(host):
        return
    done = f"{host.journal}.done"
    remove_tree(done)
    try:
        os.rename(host.journal, done)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # A folder of a lower layer of overlayfs.
        noted = intent(host)
        os.unlink(os.path.join(host.journal, "journal.json"))
        drop_copies(noted)
        done = host.journal
    try:
        sync(host.modules)
    except OSError:
        # Not on the disk for certain: what is said to stand must not go back after a crash.
        if done != host.journal:
            os.rename(done, host.journal)
            raise
    with contextlib.suppress(OSError):  # What stays is removed by the next command.
        if stands:
            logbook.let_stand(host)
        clear(done)


def has_stood(host: Host) -> bool:
    """Tell whether what was switched was cut off when it stood already: its journal is done, but not cleared."""
    return os.path.isdir(f"{host.journal}.done") or (os.path.isdir(host.journal) and not is_pending(host))


def clear(done: str) -> None:
    """Remove a journal that nothing is undone of any more, and the copies that it names."""
    drop_copies(read_json(os.path.join(done, "journal.json"), {}))
    remove_tree(done)


def drop_copies(noted: dict[str, Any]) -> None:
    """Remove what lies beside the files that a journal names: their old bytes, and what was not yet put in place."""
    paths = [one["path"] for one in noted.get("files", [])]
    links = [link for link, _ in noted.get("links", [])]
    for path in [*paths, *(path + OLD for path in paths), *links]:
        for leftover in (path + STAGED, path + OLD):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(leftover)


def intent(host: Host) -> dict[str, Any]:
    """Return what is being switched; empty where nothing is."""
    found: dict[str, Any] = read_json(os.path.join(host.journal, "journal.json"), {})
    return found


def undo(host: Host, log: Callable[[], None] = lambda: None) -> list[str]:
    """Put back what the journal says; a file that somebody changed since is left as it is, and named.

    The journal stays until all is back: whoever comes next goes on with it.

    Args:
        host: This one.
        log: Writes into the log that it was taken back; called when all is back. On a full disk the next command does.

    Raises:
        RefusedError: A file could not be put back; all others were.
    """
    found = intent(host)
    services = found.get("services")
    problems = drop_new(services) if services else []
    # The last one first: Dagster must not be told any longer of a release that loses its settings and its folder.
    answers = [returned(host, one) for one in reversed(found["files"])]
    for link, target in found["links"]:
        if os.path.isdir(os.path.dirname(link)):
            point(link, target)
            sync(os.path.dirname(link))
    for folder in found["made"]:
        if os.path.isdir(folder):
            set_aside(folder, f"{folder}.bad")
    problems += start_old(services) if services else []
    if failed := [str(one) for one in answers if isinstance(one, OSError)]:
        raise RefusedError("undo", f"Not all files could be put back; the next command goes on: {'; '.join(failed)}")
    with contextlib.suppress(OSError):
        log()
    forget(host, stands=False)
    return [one for one in answers if isinstance(one, str)] + problems


def returned(host: Host, one: dict[str, Any]) -> str | OSError | None:
    """Put one file back if it was changed; return what a person has to look at, or why it could not be done."""
    try:
        found = digest(read(one["path"]))
        if found == one["after"] != one["before"]:
            put_back(host, one)
        elif found != one["before"]:
            return f"{one['path']} was changed by somebody since, and is left as it is."
    except OSError as error:
        return error
    return None


def put_back(host: Host, one: dict[str, Any]) -> None:
    """Put one file back, by a rename within its folder."""
    path, held = one["path"], one["held"]
    if held is None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    else:
        if not os.path.isabs(held):
            # A journal of an earlier version has the old bytes in its own folder, which may be on another file system.
            with open(os.path.join(host.journal, held), "rb") as file:
                put(path + OLD, file.read(), 0o600)
            held = path + OLD
        os.chmod(held, one["mode"])
        keep_owner(path, held)
        os.rename(held, path)
    sync(os.path.dirname(path))


def reload_quietly(host: Host) -> list[str]:
    """Have Dagster load what is there now; return why it did not."""
    try:
        host.dagster.reload(limit=UNDOING - 8)
    except RefusedError as error:
        return [str(error)]
    return []
