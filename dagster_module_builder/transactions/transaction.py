"""All files of a plan, or none: lock, backup, journal, commit, recovery.

The journal holds the intent, and the backup the old bytes; both are on disk before the first file is replaced. Whoever
comes next, under the same lock, finds a journal only after a crash. The last file decides: where it has been replaced,
so have all others, and the journal is only cleared away; where it has not, everything is taken back, the last file
first.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import BuilderError, DamagedFileError, NoWorkspaceError, RefusedError, ToolError
from dagster_module_builder.shared_files.sealing import KEY_SIZE, new_key
from dagster_module_builder.transactions import module_files
from dagster_module_builder.transactions.plan import SECRET_MODE, FileChange, Plan

#: How long a command waits for another one to end, in seconds.
LOCK_WAIT = 60.0
#: How long backups are kept.
BACKUP_AGE = timedelta(days=7)

_ID_FORMAT = "%Y%m%dT%H%M%S.%fZ"
_TEMPORARY = ".dagster-module-builder.tmp"
#: As the workspace template writes it: locks, journals, backups and the key are no one else's.
_IGNORED = b"""\
# The registry is kept; locks, journals and backups, which hold secrets, are not.
*
!.gitignore
!.registry
"""


class LockedError(BuilderError):
    """Another command holds the workspace."""


class ChangedMeanwhileError(BuilderError):
    """Somebody wrote a file between plan and commit."""


class RolledBackError(BuilderError):
    """A commit failed, and everything was put back."""


@dataclass(frozen=True)
class Places:
    """Where the transaction's own files are."""

    root: Path

    @property
    def modules(self) -> Path:
        """The folder of the registry."""
        return (self.root / settings.REGISTRY).parent

    @property
    def lock(self) -> Path:
        """The lock file."""
        return self.modules / ".lock"

    @property
    def holder(self) -> Path:
        """Who holds the lock."""
        return self.modules / ".lock-holder"

    @property
    def key(self) -> Path:
        """The secret that seals what the registry remembers of secrets."""
        return self.root / settings.KEY

    @property
    def ignored(self) -> Path:
        """What keeps all but the registry out of version control."""
        return self.modules / ".gitignore"

    @property
    def journal(self) -> Path:
        """What a commit is about to do."""
        return self.modules / ".journal"

    @property
    def backups(self) -> Path:
        """The folder of the backups."""
        return self.root / settings.BACKUPS


@contextlib.contextmanager
def locked(root: Path, wait: float = LOCK_WAIT) -> Iterator[list[str]]:
    """Hold the workspace: no other command changes it meanwhile. Undo first what a crash left half done.

    Args:
        root: The workspace's root.
        wait: How many seconds to wait for another holder.

    Yields:
        What was recovered, as messages; mostly nothing.

    Raises:
        NoWorkspaceError: There is no workspace at ``root``.
        LockedError: Another command holds it for longer than ``wait``.
        ToolError: A file could not be read or written.
    """
    if not (root / settings.SERVICES).is_dir():
        raise NoWorkspaceError(root)
    places = Places(root)
    # Whoever may read a file may lock it (flock(2)).
    lock = FileLock(places.lock, timeout=wait, mode=0o600)
    try:
        places.modules.mkdir(exist_ok=True)
        lock.acquire()
        with contextlib.suppress(OSError):
            places.lock.chmod(0o600)  # that of an earlier version could be read by all
    except Timeout:
        raise LockedError(f"The workspace is in use: {holder_of(places)}. Try again when that has ended.") from None
    except OSError as error:
        raise RefusedError(f"{_what(error)}: the workspace cannot be locked.") from None
    try:
        _write_holder(places)
        provide_key(places.root)
        yield recover(root)
    except OSError as error:
        raise ToolError(f"{_what(error)}.") from None
    finally:
        with contextlib.suppress(OSError):
            places.holder.unlink(missing_ok=True)
        lock.release()


def provide_key(root: Path) -> None:
    """Make a workspace's secret where there is none: before anything is sealed with it, and never again."""
    places = Places(root)
    with contextlib.suppress(FileNotFoundError):
        if places.key.stat().st_size == KEY_SIZE:
            return
    for path, content, mode in ((places.ignored, _IGNORED, 0o644), (places.key, new_key(), SECRET_MODE)):
        if path == places.key or not path.exists():
            staged = path.with_name(path.name + _TEMPORARY)
            _write_synced(staged, content, mode)
            staged.rename(path)
    _sync_folder(places.modules)


def _write_holder(places: Places) -> None:
    since = datetime.now(timezone.utc).isoformat(timespec="seconds")
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200]
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "command": command, "since": since}
    with contextlib.suppress(OSError):  # The holder is for people; the lock holds without it.
        places.holder.unlink(missing_ok=True)
        handle = os.open(places.holder, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(json.dumps(holder))


def holder_of(places: Places) -> str:
    """Say who holds the workspace, as far as that is known."""
    try:
        holder = json.loads(places.holder.read_text())
        return f"'{holder['command']}' (process {holder['pid']} on {holder['host']}) holds it since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another command holds it"


def commit(root: Path, plan: Plan) -> str | None:
    """Carry a plan out, under the lock. Return the backup's id, or None where there was nothing to do.

    Raises:
        ChangedMeanwhileError: A file is no longer as the plan saw it; nothing was changed.
        RolledBackError: The commit failed; everything was put back.
        RefusedError: A file cannot be written; nothing was changed.
    """
    changes = plan.effective
    if not changes:
        return None
    targets = [_target(root, change) for change in changes]
    _refuse_unwritable(targets)
    places = Places(root)
    try:
        backup = _back_up(places, targets)
        _write_journal(places, backup, targets)
    except OSError as error:
        # A journal that stays is discarded by the next command, which finds nothing replaced.
        with contextlib.suppress(OSError):
            _discard_journal(places)
        raise RolledBackError(f"{_what(error)}: nothing was changed.") from None
    _replace_all(places, targets)
    with contextlib.suppress(OSError):
        prune_backups(root)
    return backup


def commit_one(change: FileChange) -> None:
    """Carry out the change of a single file that is no workspace's: one rename, which nothing can interrupt halfway.

    Raises:
        ChangedMeanwhileError: The file is no longer as the plan saw it; nothing was changed.
        RefusedError: The file cannot be written; nothing was changed.
    """
    if not change.changes:
        return
    if change.below:
        module_files.commit(change)
        return
    try:
        change.path.parent.mkdir(parents=True, exist_ok=True)
        _refuse_unwritable([change])
        _replace(change)
    except OSError as error:
        raise RefusedError(f"{_what(error)}: nothing was changed.") from None


def _replace_all(places: Places, targets: list[FileChange]) -> None:
    try:
        for folder in _folders(places, [change for change in targets if change.after is not None]):
            folder.mkdir(exist_ok=True)
        for change in targets:
            _replace(change)
    except ChangedMeanwhileError as error:
        _take_back(places)
        raise ChangedMeanwhileError(f"{error} The workspace was restored from its backup.") from None
    except OSError as error:
        try:
            _take_back(places)
        except OSError:
            raise RolledBackError(f"{_what(error)}: the next command finishes or undoes what was begun.") from None
        raise RolledBackError(f"{_what(error)}: workspace restored from backup.") from None
    except BaseException:
        _take_back(places)
        raise
    # All is in place: a journal that stays is discarded by the next command.
    with contextlib.suppress(OSError):
        _discard_journal(places)


def _what(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)


def _target(root: Path, change: FileChange) -> FileChange:
    """Follow symbolic links inside the workspace."""
    try:
        real = change.path.resolve()
    except (OSError, RuntimeError):  # Python before 3.13 has its own error for links in a circle.
        raise RefusedError(f"{change.path} is a link that leads nowhere: nothing was changed.") from None
    if not real.is_relative_to(root.resolve()):
        raise RefusedError(f"{change.path} leads out of the workspace, to {real}: nothing was changed.")
    return replace(change, path=real)


def _refuse_unwritable(targets: list[FileChange]) -> None:
    for change in targets:
        found = change.path if change.path.exists() else _nearest_folder(change.path)
        read_only = change.path.exists() and not stat.S_IMODE(change.path.stat().st_mode) & 0o200
        if change.chmod:  # A plan that changes its mode knows it; what is replaced by a rename need not be writable.
            read_only, found = False, change.path.parent
        if read_only or not os.access(found, os.W_OK):
            raise RefusedError(f"{change.path} is read-only: nothing was changed.")
        if change.path.exists() and change.path.stat().st_nlink > 1:
            raise RefusedError(
                f"{change.path} has several hard links, which a replacement would part: nothing was changed."
            )
        if _is_mounted_singly(change.path):
            raise RefusedError(f"{change.path} is mounted singly and cannot be replaced: nothing was changed.")


def _is_mounted_singly(path: Path) -> bool:
    """Tell whether a file is a mount point.

    Where it is bound to a file of the same file system, only the kernel's list of mounts says so (proc(5)).
    """
    mounts = Path("/proc/self/mountinfo")
    if not mounts.exists():
        return os.path.ismount(path)
    escaped = os.fsencode(path)
    for character in b"\\ \t\n":
        escaped = escaped.replace(bytes([character]), b"\\%03o" % character)
    return escaped in (line.split()[4] for line in mounts.read_bytes().splitlines())


def _nearest_folder(path: Path) -> Path:
    """Return the innermost folder of a path that is there."""
    return next(folder for folder in path.parents if folder.exists())


def _digest(text: bytes | None) -> str | None:
    return None if text is None else hashlib.sha256(text).hexdigest()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _back_up(places: Places, targets: list[FileChange]) -> str:
    identity = datetime.now(timezone.utc).strftime(_ID_FORMAT)
    places.backups.mkdir(mode=0o700, parents=True, exist_ok=True)
    staged = places.backups / f".{identity}.tmp"
    staged.mkdir(mode=0o700)
    files = []
    for number, change in enumerate(targets):
        held = None
        if change.before is not None:
            held = f"{number}-{change.path.name}"
            _write_synced(staged / held, change.before, stat.S_IMODE(change.path.stat().st_mode))
        files.append({"path": _relative(places, change), "held": held})
    contents = {"id": identity, "files": files, "folders": _folder_modes(places, targets)}
    _write_synced(staged / "backup.json", json.dumps(contents).encode(), 0o600)
    _sync_folder(staged)
    staged.rename(places.backups / identity)
    _sync_folder(places.backups)
    return identity


def _folders(places: Places, targets: list[FileChange]) -> list[Path]:
    """Return the folders that files are in, below the root, the outer ones first."""
    root = places.root.resolve()
    return sorted({folder for change in targets for folder in change.path.parents if root in folder.parents})


def _folder_modes(places: Places, targets: list[FileChange]) -> dict[str, int]:
    root = places.root.resolve()
    there = (folder for folder in _folders(places, targets) if folder.is_dir())
    return {str(folder.relative_to(root)): stat.S_IMODE(folder.stat().st_mode) for folder in there}


def _relative(places: Places, change: FileChange) -> str:
    return str(change.path.relative_to(places.root.resolve()))


def _write_journal(places: Places, backup: str, targets: list[FileChange]) -> None:
    files = [
        {
            "path": _relative(places, change),
            "before": _digest(change.before),
            "after": _digest(change.after),
            "mode": change.chmod and change.chmod[1],
        }
        for change in targets
    ]
    kept = [change for change in targets if change.after is not None]
    made = [str(folder) for folder in _folders(places, kept) if not folder.exists()]
    staged = places.journal.with_name(places.journal.name + _TEMPORARY)
    _write_synced(staged, json.dumps({"backup": backup, "files": files, "made": made}).encode(), 0o600)
    staged.rename(places.journal)
    _sync_folder(places.modules)


def _discard_journal(places: Places) -> None:
    places.journal.with_name(places.journal.name + _TEMPORARY).unlink(missing_ok=True)
    places.journal.unlink(missing_ok=True)
    _sync_folder(places.modules)


def _replace(change: FileChange) -> None:
    staged = change.path.with_name(change.path.name + _TEMPORARY)
    if change.after is not None:
        _stage(staged, change)
    if _read(change.path) != change.before:
        staged.unlink(missing_ok=True)
        raise ChangedMeanwhileError(f"{change.path} was changed by somebody else while the command ran.")
    if change.after is None:
        change.path.unlink()
    else:
        staged.rename(change.path)
    _sync_folder(change.path.parent)


def _stage(staged: Path, change: FileChange) -> None:
    if change.after is None:
        return
    there = change.path.stat() if change.path.exists() else None
    kept = stat.S_IMODE(there.st_mode) if there else change.mode
    _write_synced(staged, change.after, change.chmod[1] if change.chmod else kept)
    if there and (there.st_uid, there.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(staged, there.st_uid, there.st_gid)


def _write_synced(path: Path, text: bytes, mode: int) -> None:
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(handle, mode)
        file.write(text)
        file.flush()
        os.fsync(handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def recover(root: Path) -> list[str]:
    """Finish or undo what a crash left half done, under the lock; return what was done, as messages.

    A second recovery changes nothing. A file that somebody wrote since is left as it is, and named.

    Raises:
        DamagedFileError: The journal, or the backup that it names, cannot be read.
    """
    places = Places(root)
    intent = _intent(places)
    if intent is None:
        return []
    *_, last = intent["files"]
    if _is_as_wanted(_there(places, last), last):
        _clear_away(places, intent)
        return []
    return ["An earlier command was cut off: workspace restored from backup.", *_take_back(places)]


def _is_as_wanted(path: Path, file: dict[str, Any]) -> bool:
    if _digest(_read(path)) != file["after"]:
        return False
    mode = file.get("mode")
    return mode is None or stat.S_IMODE(path.stat().st_mode) == mode


def _intent(places: Places) -> dict[str, Any] | None:
    try:
        text = _read(places.journal)
        intent: dict[str, Any] | None = None if text is None else json.loads(text)
        if intent is not None:
            held = json.loads((places.backups / intent["backup"] / "backup.json").read_bytes())["files"]
            intent["held"] = {file["path"]: file["held"] for file in held}
    except (ValueError, KeyError, TypeError, FileNotFoundError):
        way_out = f"Compare the workspace with the newest backup in {places.backups}, then delete this file."
        raise DamagedFileError(
            places.journal, None, "an earlier command was cut off, and its backup is gone", way_out
        ) from None
    return intent


def _there(places: Places, file: dict[str, Any]) -> Path:
    return places.root.resolve() / str(file["path"])


def _take_back(places: Places) -> list[str]:
    """Put every file back that was replaced; the last first, because it decides whether all were."""
    intent = _intent(places)
    if intent is None:
        return []
    messages = []
    backup = places.backups / intent["backup"]
    for file in reversed(intent["files"]):
        path, held = _there(places, file), intent["held"][file["path"]]
        state = _digest(_read(path))
        if state == file["after"]:
            _put_back(path, backup / held if held else None)
        elif state != file["before"]:
            messages.append(f"{path} was changed by somebody since, and is left as it is; the old one is in {backup}.")
    _remove_staged(places, intent)  # before the folders, which have to be empty
    for folder in reversed(intent.get("made", [])):
        with contextlib.suppress(OSError):  # It holds what others put there.
            Path(folder).rmdir()
    _discard_journal(places)
    return messages


def _clear_away(places: Places, intent: dict[str, Any]) -> None:
    _remove_staged(places, intent)
    _discard_journal(places)


def _remove_staged(places: Places, intent: dict[str, Any]) -> None:
    for file in intent["files"]:
        path = _there(places, file)
        path.with_name(path.name + _TEMPORARY).unlink(missing_ok=True)


def _put_back(path: Path, held: Path | None) -> None:
    now = _read(path)
    if held is None:
        path.unlink(missing_ok=True)
        _sync_folder(path.parent)
    else:
        mode = stat.S_IMODE(held.stat().st_mode)
        modes = (stat.S_IMODE(path.stat().st_mode), mode) if now is not None else None
        _replace(FileChange(path, now, held.read_bytes(), mode, modes))


def backup_ids(root: Path) -> list[str]:
    """Return the ids of the backups, oldest first."""
    folder = Places(root).backups
    return sorted(entry.name for entry in folder.iterdir() if backup_time(entry.name)) if folder.is_dir() else []


def backup_time(identity: str) -> datetime | None:
    """Return when a backup was made, or None where the name is no backup's."""
    try:
        return datetime.strptime(identity, _ID_FORMAT).replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def prune_backups(root: Path, now: datetime | None = None) -> list[str]:
    """Remove backups older than a week, but never the newest; return their ids."""
    oldest = (now or datetime.now(timezone.utc)) - BACKUP_AGE
    folder = Places(root).backups
    pruned = [name for name in backup_ids(root)[:-1] if (made := backup_time(name)) and made < oldest]
    for name in pruned:
        shutil.rmtree(folder / name, ignore_errors=True)
    for leftover in folder.glob(".*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)
    return pruned
