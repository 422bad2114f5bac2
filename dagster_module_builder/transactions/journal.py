"""The journal: what a commit is about to do, on the disk before the first file is replaced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dagster_module_builder.base.errors import DamagedFileError
from dagster_module_builder.transactions.control_files import ControlFiles
from dagster_module_builder.transactions.plan import FileChange
from dagster_module_builder.transactions.synced_files import TEMPORARY, digest, read, sync_folder, write_synced
from dagster_module_builder.transactions.targets import folders, relative_path


def write_journal(control: ControlFiles, backup: str, targets: list[FileChange], *, to_prove: bool) -> None:
    """Note what each file is and what it is to become, and where the old bytes are.

    Args:
        control: The workspace's own files.
        backup: The backup's id.
        targets: The changes.
        to_prove: Whether the changes count only once they are proven, and not as soon as all files are replaced.
    """
    files = [
        {
            "path": relative_path(control, change),
            "before": digest(change.before),
            "after": digest(change.after),
            "mode": change.chmod and change.chmod[1],
        }
        for change in targets
    ]
    kept = [change for change in targets if change.after is not None]
    made = [str(folder) for folder in folders(control, kept) if not folder.exists()]
    journal = {"backup": backup, "files": files, "made": made} | ({"to_prove": True} if to_prove else {})
    staged = control.journal.with_name(control.journal.name + TEMPORARY)
    write_synced(staged, json.dumps(journal).encode(), 0o600)
    staged.rename(control.journal)
    sync_folder(control.modules)


def discard_journal(control: ControlFiles) -> None:
    """Remove the journal: the commit has ended, one way or the other."""
    control.journal.with_name(control.journal.name + TEMPORARY).unlink(missing_ok=True)
    control.journal.unlink(missing_ok=True)
    sync_folder(control.modules)


def read_journal(control: ControlFiles) -> dict[str, Any] | None:
    """Return what a commit that did not end was about to do, or None.

    Raises:
        DamagedFileError: The journal, or the backup that it names, cannot be read.
    """
    try:
        text = read(control.journal)
        journal: dict[str, Any] | None = None if text is None else json.loads(text)
        if journal is not None:
            held = json.loads((control.backups / journal["backup"] / "backup.json").read_bytes())["files"]
            journal["held"] = {file["path"]: file["held"] for file in held}
    except (ValueError, KeyError, TypeError, FileNotFoundError):
        way_out = f"Compare the workspace with the newest backup in {control.backups}, then delete this file."
        raise DamagedFileError(
            control.journal, None, "an earlier command was cut off, and its backup is gone", way_out
        ) from None
    return journal


def path_of(control: ControlFiles, file: dict[str, Any]) -> Path:
    """Return where a file of the journal is."""
    return control.root.resolve() / str(file["path"])
