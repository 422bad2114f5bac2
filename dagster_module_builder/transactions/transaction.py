"""All files of a plan, or none: backup, journal, then one rename for each file.

The journal holds the intent, and the backup the old bytes; both are on disk before the first file is replaced. What a
crash leaves half done is finished or undone by ``recovery``, under the same lock.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from dagster_module_builder.base.errors import BuilderError, RefusedError
from dagster_module_builder.transactions import module_files
from dagster_module_builder.transactions.backups import back_up, prune_backups
from dagster_module_builder.transactions.control_files import ControlFiles
from dagster_module_builder.transactions.journal import discard_journal, write_journal
from dagster_module_builder.transactions.plan import FileChange, Plan
from dagster_module_builder.transactions.recovery import take_back
from dagster_module_builder.transactions.replacement import ChangedMeanwhileError, replace_file
from dagster_module_builder.transactions.synced_files import TEMPORARY, reason
from dagster_module_builder.transactions.targets import folders, refuse_unwritable, target_of


class RolledBackError(BuilderError):
    """A commit failed, and everything was put back."""


def commit(root: Path, plan: Plan, proof: Callable[[], None] | None = None) -> str | None:
    """Carry a plan out, under the lock. Return the backup's id, or None where there was nothing to do.

    Args:
        root: The workspace's root.
        plan: The files as they are, and as they will be.
        proof: Called when all files are replaced. If it raises, or if this process ends meanwhile, they are restored.

    Raises:
        ChangedMeanwhileError: A file is no longer as the plan saw it; nothing was changed.
        RolledBackError: The commit failed; everything was put back.
        RefusedError: A file cannot be written; nothing was changed.
    """
    changes = plan.effective
    if not changes:
        return None
    targets = [target_of(root, change) for change in changes]
    refuse_unwritable(targets)
    control = ControlFiles(root)
    try:
        backup = back_up(control, targets)
        write_journal(control, backup, targets, to_prove=proof is not None)
    except OSError as error:
        # A journal that stays is discarded by the next command, which finds nothing replaced.
        with contextlib.suppress(OSError):
            discard_journal(control)
        raise RolledBackError(f"{reason(error)}: nothing was changed.") from None
    _replace_all(control, targets)
    if proof:
        _prove(control, proof)
    else:
        # All is in place: a journal that stays is discarded by the next command.
        with contextlib.suppress(OSError):
            discard_journal(control)
    with contextlib.suppress(OSError, BuilderError):
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
        refuse_unwritable([change])
        replace_file(change)
    except OSError as error:
        with contextlib.suppress(OSError):
            change.path.with_name(change.path.name + TEMPORARY).unlink(missing_ok=True)
        raise RefusedError(f"{reason(error)}: nothing was changed.") from None


def _replace_all(control: ControlFiles, targets: list[FileChange]) -> None:
    try:
        for folder in folders(control, [change for change in targets if change.after is not None]):
            folder.mkdir(exist_ok=True)
        for change in targets:
            replace_file(change)
    except ChangedMeanwhileError as error:
        take_back(control)
        raise ChangedMeanwhileError(f"{error} The workspace was restored from its backup.") from None
    except OSError as error:
        try:
            take_back(control)
        except OSError:
            raise RolledBackError(f"{reason(error)}: the next command finishes or undoes what was begun.") from None
        raise RolledBackError(f"{reason(error)}: workspace restored from backup.") from None
    except BaseException:
        take_back(control)
        raise


def _prove(control: ControlFiles, proof: Callable[[], None]) -> None:
    try:
        proof()
        discard_journal(control)
    except OSError as error:
        if control.journal.exists():  # With the journal gone, the changes count.
            take_back(control)
            raise RolledBackError(f"{reason(error)}: workspace restored from backup.") from None
    except BaseException:
        take_back(control)
        raise
