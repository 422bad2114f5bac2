"""The workspace's lock, who holds it, and the key that is made under it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from filelock import FileLock, Timeout

from dagster_module_builder.base.errors import BuilderError, NoWorkspaceError, RefusedError, ToolError
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.shared_files.sealing import KEY_SIZE, new_key
from dagster_module_builder.transactions.control_files import ControlFiles
from dagster_module_builder.transactions.plan import SECRET_MODE
from dagster_module_builder.transactions.recovery import recover
from dagster_module_builder.transactions.synced_files import TEMPORARY, reason, sync_folder, write_synced

#: How long a command waits for another one to end, in seconds.
LOCK_WAIT = 60.0
#: As the workspace template writes it: locks, journals, backups and the key are for the owner alone.
_IGNORED_BEFORE = b"""\
# The registry is kept; locks, journals and backups, which hold secrets, are not.
*
!.gitignore
!.registry
"""
_IGNORED = _IGNORED_BEFORE + b"!servers/\n!servers/*\n"


_LOG = logging.getLogger(__name__)


class LockedError(BuilderError):
    """Another command holds the workspace."""


@contextlib.contextmanager
def locked(root: Path, wait: float = LOCK_WAIT) -> Iterator[None]:
    """Hold the workspace: no other command changes it meanwhile. Undo first what a crash left half done, and log that.

    Args:
        root: The workspace's root.
        wait: How many seconds to wait for another holder.

    Raises:
        NoWorkspaceError: There is no workspace at ``root``.
        LockedError: Another command holds it for longer than ``wait``.
        ToolError: A file could not be read or written.
    """
    if not layout_of(root).exists:
        raise NoWorkspaceError(root)
    control = ControlFiles(root)
    # Whoever may read a file may lock it (flock(2)).
    lock = FileLock(control.lock, timeout=wait, mode=0o600)
    try:
        control.modules.mkdir(exist_ok=True)
        lock.acquire()
        with contextlib.suppress(OSError):
            control.lock.chmod(0o600)  # that of an earlier version could be read by all
    except Timeout:
        raise LockedError(
            f"The workspace is in use: {holder_of(control)}. Try again when that command has ended."
        ) from None
    except OSError as error:
        raise RefusedError(f"{reason(error)}: the workspace cannot be locked.") from None
    try:
        _write_holder(control)
        provide_key(control.root)
        for message in recover(root):
            _LOG.warning("%s", message)
        yield
    except OSError as error:
        raise ToolError(f"{reason(error)}.") from None
    finally:
        with contextlib.suppress(OSError):
            control.holder.unlink(missing_ok=True)
        lock.release()


def provide_key(root: Path) -> None:
    """Make a workspace's secret where there is none: before anything is sealed with it, and never again."""
    control = ControlFiles(root)
    missing = []
    if not control.ignored.exists() or control.ignored.read_bytes() == _IGNORED_BEFORE:
        missing.append((control.ignored, _IGNORED, 0o644))
    if not control.key.exists() or control.key.stat().st_size != KEY_SIZE:
        missing.append((control.key, new_key(), SECRET_MODE))
    for path, content, mode in missing:
        staged = path.with_name(path.name + TEMPORARY)
        write_synced(staged, content, mode)
        staged.rename(path)
    if missing:
        sync_folder(control.modules)


def _write_holder(control: ControlFiles) -> None:
    since = datetime.now(timezone.utc).isoformat(timespec="seconds")
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200]
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "command": command, "since": since}
    with contextlib.suppress(OSError):  # The holder is for people; the lock holds without it.
        control.holder.unlink(missing_ok=True)
        handle = os.open(control.holder, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(json.dumps(holder))


def holder_of(control: ControlFiles) -> str:
    """Say who holds the workspace, as far as that is known."""
    try:
        holder = json.loads(control.holder.read_text())
        return f"'{holder['command']}' (process {holder['pid']} on {holder['host']}) holds it since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another command holds it"
