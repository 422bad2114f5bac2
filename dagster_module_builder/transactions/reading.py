"""Reading the workspace without writing to it: never in the middle of a commit, even if nothing can be written.

A reader shares the lock if this user may open the lock's file. If not, it compares what every commit changes before
and after reading, and reads again if that differs.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from dagster_module_builder.base.errors import NoWorkspaceError, RefusedError, ToolError
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.transactions.control_files import ControlFiles
from dagster_module_builder.transactions.lock import LOCK_WAIT, LockedError, holder_of, locked
from dagster_module_builder.transactions.synced_files import reason

#: The pause between two attempts of a waiting reader, in seconds.
_PAUSE = 0.05
#: How long a reader who cannot undo a commit waits for its end, in seconds.
_COMMIT = 5.0

T = TypeVar("T")


class _UnsteadyError(Exception):
    """A commit went on while the workspace was read."""


def under_lock(root: Path, work: Callable[[], T], *, changes: bool) -> T:
    """Call ``work`` with the workspace locked: exclusively if it changes something, else as ``reading`` does.

    Args:
        root: The workspace's root.
        work: It may be called again if it changes nothing.
        changes: Whether ``work`` writes.

    Raises:
        BuilderError: As ``lock.locked`` and ``reading`` do.
    """
    if not changes:
        return reading(root, work)
    with locked(root):
        return work()


def reading(root: Path, work: Callable[[], T], wait: float = LOCK_WAIT) -> T:
    """Read the workspace as one commit left it; nothing is written unless a crash must be undone first.

    Args:
        root: The workspace's root.
        work: Reads. It is called again if a commit happened meanwhile.
        wait: How many seconds to wait for commands that change the workspace.

    Raises:
        NoWorkspaceError: There is no workspace at ``root``.
        LockedError: Other commands changed it for longer than ``wait``.
        RefusedError: A crash must be undone first, and this user cannot.
        ToolError: A file could not be read.
    """
    if not layout_of(root).exists:
        raise NoWorkspaceError(root)
    control, end = ControlFiles(root), time.monotonic() + wait
    try:
        return _read(control, work, end)
    except OSError as error:
        raise ToolError(f"{reason(error)}.") from None


def _read(control: ControlFiles, work: Callable[[], T], end: float) -> T:
    while True:
        with contextlib.suppress(_UnsteadyError), _shared(control, end) as alone:
            return _steadily(control, work, alone=alone)
        _without_journal(control, end)
        if time.monotonic() > end:
            raise LockedError("Other commands changed the workspace while it was read. Try again when they have ended.")


@contextlib.contextmanager
def _shared(control: ControlFiles, end: float) -> Iterator[bool]:
    """Share the lock if this user may open its file; yield whether writers are kept out.

    flock(2) does not need permission to write.
    """
    try:
        handle = os.open(control.lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        yield _is_locked(control, handle, end)
    finally:
        os.close(handle)


def _is_locked(control: ControlFiles, handle: int, end: float) -> bool:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise LockedError(
                    f"The workspace is in use: {holder_of(control)}. Try again when that command has ended."
                ) from None
            time.sleep(_PAUSE)
        except OSError:  # A file system without locks.
            return False
        else:
            return os.fstat(handle).st_nlink > 0  # A deleted file keeps no writers out.


def _steadily(control: ControlFiles, work: Callable[[], T], *, alone: bool) -> T:
    # The journal is checked between the two looks at the files: a commit in progress has a journal, and one that has
    # ended changed the files.
    before = None if alone else _generation(control)
    _refuse_journal(control)
    try:
        result = work()
    except Exception:
        _refuse_changed(control, before, alone=alone)
        raise
    _refuse_changed(control, before, alone=alone)
    return result


def _refuse_changed(control: ControlFiles, before: object, *, alone: bool) -> None:
    if not alone:
        _refuse_journal(control)
        if _generation(control) != before:
            raise _UnsteadyError


def _refuse_journal(control: ControlFiles) -> None:
    if os.path.lexists(control.journal):
        raise _UnsteadyError


def _generation(control: ControlFiles) -> object:
    """Return a value that every commit changes: it creates its journal in one of these folders, and replaces files."""
    layout = control.layout
    folders = {file.parent for file in layout.shared_files.values() if file.parent.is_dir()}
    paths = [
        control.modules,
        layout.registry,
        *(path for folder in folders for path in folder.iterdir() if path.is_file()),
    ]
    return {path: (state.st_ino, state.st_mtime_ns, state.st_ctime_ns) for path in paths if (state := _state(path))}


def _state(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _without_journal(control: ControlFiles, end: float) -> None:
    """Wait for the end of a commit, and undo it if it was interrupted."""
    patience = min(end, time.monotonic() + _COMMIT)
    while os.path.lexists(control.journal):
        try:
            with locked(control.root, max(0.0, end - time.monotonic())):
                return
        except LockedError:
            raise
        except RefusedError as error:
            if time.monotonic() > patience:
                raise RefusedError(
                    f"{control.journal}: a command was interrupted, and its changes cannot be undone: {error} "
                    f"Run 'workspace.list' as a user who may write to the workspace."
                ) from None
        time.sleep(_PAUSE)
