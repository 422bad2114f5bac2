"""The end of an adoption: the owner's files get back what they had, and this program's own are deleted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.base.layout import FILE, layout_of
from dagster_module_builder.claims.stores import Stores
from dagster_module_builder.transactions import module_files
from dagster_module_builder.transactions.lock import locked
from dagster_module_builder.transactions.plan import FileChange, Plan
from dagster_module_builder.transactions.registry import parse_registry
from dagster_module_builder.transactions.transaction import commit
from dagster_module_builder.workspaces.adopt import STATE
from dagster_module_builder.workspaces.adopted_commands import remove_empty, undone, without_record
from dagster_module_builder.workspaces.workspace import read_workspace


@dataclass(frozen=True)
class Release:
    """What the end of an adoption did.

    Attributes:
        removed: What was deleted.
        restored: The owner's files that got back what they had.
        left_behind: The data of removed modules, which stays: volumes by the engine's names, and folders.
    """

    removed: tuple[Path, ...]
    restored: tuple[Path, ...] = ()
    left_behind: tuple[str, ...] = ()


def release(root: Path, *, keep_commands: bool = False) -> Release:
    """Undo an adoption: the owner's files get back what changed, and what this program made is deleted.

    Args:
        root: The repository's root.
        keep_commands: Leave command lines and the workspace file as they are now.

    Raises:
        ConflictError: The owner has edited what would be given back, with each place.
        RefusedError: It was not adopted, or modules are still in it.
    """
    layout = layout_of(root)
    if not layout.written or layout.state != root / STATE:
        raise RefusedError(f"{root} was not adopted: it has no {FILE} of 'workspace.adopt'.")
    with locked(root):
        # Not the workspace as a whole: after a crash, the workspace file that was made may be deleted already.
        before = module_files.read(root, layout.registry)
        registry = parse_registry(layout.registry, before)
        if names := [entry.name for entry in registry.entries]:
            raise RefusedError(
                f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} still in the workspace. Remove each with "
                f"'workspace.remove NAME' first."
            )
        left_behind = tuple(_left_behind(root, registry.left_behind))
        edits = Plan(() if keep_commands else tuple(undone(layout, registry)))
        if edits.effective:
            record = without_record(registry).to_bytes()
            commit(root, Plan((*edits.changes, FileChange(layout.registry, before, record))))
        remove_empty(layout.workspace_file)
        # The file goes last: whatever ends this before can be done again.
        shutil.rmtree(root / STATE)
        (root / FILE).unlink()
    deleted = [change.path for change in edits.effective if change.after is None]
    restored = tuple(change.path for change in edits.effective if change.after is not None)
    return Release((*deleted, root / STATE, root / FILE), restored, left_behind)


def _left_behind(root: Path, left_behind: Mapping[str, Stores]) -> Iterator[str]:
    """Yield where removed modules have data: only the registry, which goes, remembers it."""
    stack = read_workspace(root).stack if left_behind else None
    for stores in left_behind.values():
        yield from (f"volume {stack.real_name('volumes', name)}" for name in stores.volumes if stack)
        yield from (f"folder {folder}" for folder in stores.folders if (root / folder).exists())
