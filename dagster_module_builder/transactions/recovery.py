"""What a crash left half done, finished or undone.

Whoever comes next, under the same lock, finds a journal only after a crash. The last file decides: where it has been
replaced, so have all others, and the journal is only cleared away; where it has not, everything is taken back, the last
file first. What had still to be proven is taken back in any case.
"""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path
from typing import Any

from dagster_module_builder.transactions.control_files import ControlFiles
from dagster_module_builder.transactions.journal import discard_journal, path_of, read_journal
from dagster_module_builder.transactions.replacement import put_back
from dagster_module_builder.transactions.synced_files import TEMPORARY, digest, read


def recover(root: Path) -> list[str]:
    """Finish or undo what a crash left half done, under the lock; return what was done, as messages.

    A second recovery changes nothing. A file that was written since is left as it is, and named.

    Raises:
        DamagedFileError: The journal, or the backup that it names, cannot be read.
    """
    control = ControlFiles(root)
    journal = read_journal(control)
    if journal is None:
        return []
    *_, last = journal["files"]
    if not journal.get("to_prove") and _is_as_wanted(path_of(control, last), last):
        _clear_away(control, journal)
        return []
    return ["An earlier command was cut off: workspace restored from backup.", *take_back(control)]


def _is_as_wanted(path: Path, file: dict[str, Any]) -> bool:
    if digest(read(path)) != file["after"]:
        return False
    mode = file.get("mode")
    return mode is None or stat.S_IMODE(path.stat().st_mode) == mode


def take_back(control: ControlFiles) -> list[str]:
    """Put back every file that was replaced, the last first, since it decides whether all were; return messages."""
    journal = read_journal(control)
    if journal is None:
        return []
    messages = []
    backup = control.backups / journal["backup"]
    for file in reversed(journal["files"]):
        path, held = path_of(control, file), journal["held"][file["path"]]
        state = digest(read(path))
        if state == file["after"]:
            put_back(path, backup / held if held else None)
        elif state != file["before"]:
            messages.append(f"{path} was changed since, and is left as it is. Its old version is in {backup}.")
    _remove_staged(control, journal)  # before the folders, which have to be empty
    for folder in reversed(journal.get("made", [])):
        with contextlib.suppress(OSError):  # It holds what others put there.
            Path(folder).rmdir()
    discard_journal(control)
    return messages


def _clear_away(control: ControlFiles, journal: dict[str, Any]) -> None:
    _remove_staged(control, journal)
    discard_journal(control)


def _remove_staged(control: ControlFiles, journal: dict[str, Any]) -> None:
    for file in journal["files"]:
        path = path_of(control, file)
        path.with_name(path.name + TEMPORARY).unlink(missing_ok=True)
