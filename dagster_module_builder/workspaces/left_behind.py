"""Data of modules that are removed, or store elsewhere now: the registry records it until it is deleted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.claims.stores import Slot, Stores, stores_of
from dagster_module_builder.transactions.plan import FileChange, Plan
from dagster_module_builder.transactions.registry import ModuleEntry
from dagster_module_builder.transactions.transaction import commit
from dagster_module_builder.workspaces.workspace import Workspace, bodies_of


def changes(
    workspace: Workspace, put: Mapping[str, Mapping[Slot, Iterable[bytes]]], entries: Mapping[str, ModuleEntry | None]
) -> Iterator[tuple[str, Stores]]:
    """Yield by marker what each module stored in places that its blocks no longer name.

    Args:
        workspace: The workspace as it was read.
        put: The bodies of the modules' new blocks, by name.
        entries: The registry's new entries, by name; None if a module is removed.
    """
    remembered = workspace.registry.left_behind
    for name, entry in entries.items():
        before = workspace.registry.find(name)
        known = before or entry or ModuleEntry({"name": name})
        unchanged = before is None or (entry is not None and before.blocks == entry.blocks)
        if unchanged and known.marker not in remembered:
            continue
        was = stores_of(bodies_of(workspace, known.marker), workspace.root)
        was |= remembered.get(known.marker, Stores())
        yield known.marker, (was - stores_of(put.get(name, {}), workspace.root)).owned(known.marker, known.path)


def hint(workspace: Workspace, name: str) -> str:
    """Return what to do about the data of a module that is not in the workspace; empty if it left none."""
    if ModuleNames(name).snake not in workspace.registry.left_behind:
        return ""
    return f" Delete its data with 'workspace.remove {name} --delete-data'."


def forget(workspace: Workspace, marker: str) -> None:
    """Remove a module's deleted data from the registry, under the lock."""
    registry = workspace.registry.with_left_behind({marker: Stores()})
    path = layout_of(workspace.root).registry
    if registry.data != workspace.registry.data:
        commit(workspace.root, Plan((FileChange(path, workspace.registry_bytes, registry.to_bytes()),)))
