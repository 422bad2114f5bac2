"""The journal of a switch, on the disk, so that the next command can undo it."""

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


#: Added to the name of a file for the copy of its old bytes, while it may have to be restored.
OLD = ".deploy.old"


def is_pending(host: Host) -> bool:
    """Tell whether a switch may have to be undone."""
    return os.path.isfile(os.path.join(host.journal, "journal.json"))


def write_journal(
    host: Host, changes: list[dict[str, Any]], modules: list[Any], services: dict[str, Any] | None = None
) -> None:
    """Write to the disk what is about to be done, and everything needed to undo it.

    The old bytes are copied beside each file: undoing is a rename within one folder, even below a link or a mount, and
    needs no space on a full disk. The journal is written first, so that it names every copy.
    """
    staged = f"{host.journal}.tmp"
    remove_tree(staged)
    remove_tree(host.journal)
    os.mkdir(staged, 0o700)
    links = [(host.of(module["module"], name), target_of(host.of(module["module"], name)))
             for module in modules for name in ("current", "previous")]  # fmt: skip
    made = [host.release(module["module"], module["release"]) for module in modules if module.get("new")]
    files = [as_noted(change) for change in changes]
    text = json.dumps({"files": files, "links": links, "made": made, "services": services}).encode()
    write(os.path.join(staged, "journal.json"), text, 0o600)
    os.rename(staged, host.journal)
    sync(host.modules)
    for change in changes:
        if held := copy_of(change):
            write(held, change["old"], 0o600)


def as_noted(change: dict[str, Any]) -> dict[str, Any]:
    """Return a file's change as the journal records it: digests, mode, and the path of the old bytes."""
    kept = {key: change[key] for key in ("path", "before", "mode")}
    return {**kept, "after": digest(change["text"]), "held": copy_of(change)}


def copy_of(change: dict[str, Any]) -> str | None:
    """Return the path for a file's old bytes; None if there are none, or they do not change."""
    unchanged = change["before"] == digest(change["text"])
    return None if change["old"] is None or unchanged else change["path"] + OLD


def forget(host: Host, *, stands: bool = True) -> None:
    """Drop the journal, so that nothing is undone any more; ``stands`` tells whether the change is kept."""
    if not is_pending(host):
        return
    done = f"{host.journal}.done"
    remove_tree(done)
    try:
        os.rename(host.journal, done)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # The folder is in a lower layer of overlayfs.
        noted = intent(host)
        os.unlink(os.path.join(host.journal, "journal.json"))
        drop_copies(noted)
        done = host.journal
    try:
        sync(host.modules)
    except OSError:
        # It may not be on the disk: a change that is reported as kept must not be undone after a crash.
        if done != host.journal:
            os.rename(done, host.journal)
            raise
    with contextlib.suppress(OSError):  # The next command removes the rest.
        if stands:
            logbook.let_stand(host)
        clear(done)


def has_stood(host: Host) -> bool:
    """Tell whether a switch was interrupted after it was complete: its journal is dropped, but not cleared."""
    return os.path.isdir(f"{host.journal}.done") or (os.path.isdir(host.journal) and not is_pending(host))


def clear(done: str) -> None:
    """Remove a dropped journal, and the copies that it names."""
    drop_copies(read_json(os.path.join(done, "journal.json"), {}))
    remove_tree(done)


def drop_copies(noted: dict[str, Any]) -> None:
    """Remove the files beside those that a journal names: their old bytes, and new ones not yet in place."""
    paths = [file["path"] for file in noted.get("files", [])]
    links = [link for link, _ in noted.get("links", [])]
    for path in [*paths, *(path + OLD for path in paths), *links]:
        for leftover in (path + STAGED, path + OLD):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(leftover)


def intent(host: Host) -> dict[str, Any]:
    """Return the journal's content; empty if there is no journal."""
    noted: dict[str, Any] = read_json(os.path.join(host.journal, "journal.json"), {})
    return noted


def undo(host: Host, log: Callable[[], None] = lambda: None) -> list[str]:
    """Restore what the journal names; a file that was changed since is left as it is, and reported.

    The journal is kept until everything is restored: the next command goes on with it.

    Args:
        host: This host.
        log: Writes to the log that the change was undone; called when everything is restored. On a full disk the next
            command does that.

    Returns:
        Problems for the user.

    Raises:
        RefusedError: A file could not be restored; all others were.
    """
    noted = intent(host)
    services = noted.get("services")
    problems = drop_new(services) if services else []
    # The last one first: Dagster's files must not name a release that loses its settings and its folder.
    answers = [returned(host, file) for file in reversed(noted["files"])]
    for link, target in noted["links"]:
        if os.path.isdir(os.path.dirname(link)):
            point(link, target)
            sync(os.path.dirname(link))
    for folder in noted["made"]:
        if os.path.isdir(folder):
            set_aside(folder, f"{folder}.bad")
    problems += start_old(services) if services else []
    if failed := [str(answer) for answer in answers if isinstance(answer, OSError)]:
        raise RefusedError(
            "undo", f"Not all files could be restored: {'; '.join(failed)}. The next command tries again."
        )
    with contextlib.suppress(OSError):
        log()
    forget(host, stands=False)
    return [answer for answer in answers if isinstance(answer, str)] + problems


def returned(host: Host, file: dict[str, Any]) -> str | OSError | None:
    """Restore one file if the switch changed it; return a problem for the user, or the error."""
    try:
        present = digest(read(file["path"]))
        if present == file["after"] != file["before"]:
            put_back(host, file)
        elif present != file["before"]:
            return f"{file['path']} was edited in the meantime, and is left as it is."
    except OSError as error:
        return error
    return None


def put_back(host: Host, file: dict[str, Any]) -> None:
    """Restore one file, by a rename within its folder."""
    path, held = file["path"], file["held"]
    if held is None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    else:
        if not os.path.isabs(held):
            # An earlier version kept the old bytes in the journal's folder, which may be on another file system.
            with open(os.path.join(host.journal, held), "rb") as copy:
                put(path + OLD, copy.read(), 0o600)
            held = path + OLD
        os.chmod(held, file["mode"])
        keep_owner(path, held)
        os.rename(held, path)
    sync(os.path.dirname(path))


def reload_quietly(host: Host) -> list[str]:
    """Have Dagster reload its workspace; return why it did not, for the user."""
    try:
        host.dagster.reload(limit=UNDOING - 8)
    except RefusedError as error:
        return [str(error)]
    return []
