"""Comparing the blocks in shared files with the registry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import (
    BuilderError,
)
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.claims.conflicts import Finding
from dagster_module_builder.health.finding_of_error import FORCE, REPAIR, SYNC, finding_of
from dagster_module_builder.shared_files.blocks import Block
from dagster_module_builder.shared_files.formats.outline import KeyPath
from dagster_module_builder.shared_files.merge import blocks_by_slot
from dagster_module_builder.transactions.registry import ModuleEntry, slot_name
from dagster_module_builder.workspaces.module_fragments import read_fragments
from dagster_module_builder.workspaces.workspace import Workspace


def block_findings(workspace: Workspace) -> Iterator[Finding]:
    """Yield the differences between the blocks in the files and those in the registry."""
    entries = {entry.marker: entry for entry in workspace.registry.entries}
    for file, kind in workspace.kinds.items():
        layout = workspace.layouts[file]
        markers = sorted({block.marker for _, block in layout.blocks()} | set(entries))
        try:
            located = blocks_by_slot(workspace.path(file), kind, layout, markers)
        except BuilderError as error:
            finding = finding_of(error, workspace.path(file), f"Fix it there, or run '{REPAIR}'")
            yield replace(finding, command=REPAIR)
            continue
        for marker, slots in located.items():
            yield from _blocks_of(workspace, file, marker, entries.get(marker), slots)


def _blocks_of(
    workspace: Workspace, file: str, marker: str, entry: ModuleEntry | None, slots: dict[KeyPath, tuple[int, Block]]
) -> Iterator[Finding]:
    remembered = workspace.known[file]
    known = remembered.digests.get(marker, {})
    for slot, (position, block) in slots.items():
        is_same = entry and remembered.sealed(block.digest) == known.get(slot)
        if is_same or (entry and slot in known and _equals_fragment(workspace, file, entry, block)):
            continue
        where = f"{workspace.path(file)}:{workspace.layouts[file].line_of(position, block)}"
        if entry is None:
            message = f"a block of {marker!r}, which is not in the registry"
            fix = "Delete its lines, or integrate the module with 'workspace.add --force'"
            is_there = marker in (path.name for path in layout_of(workspace.root).in_module_folders())
            yield Finding("error", message, where, fix, marker, f"workspace.add {marker} --force" if is_there else "")
        elif slot not in known:
            message = f"a block of {marker!r} in a place that is not in the registry"
            yield Finding("error", message, where, "Move it back", entry.name, FORCE)
        else:
            same = f"Make the same change in the module's {settings.FRAGMENTS}/, or move your lines out of the block"
            fix = f"{same}; discard them with '{FORCE}'"
            yield Finding("error", f"the block of {marker!r} was edited by hand", where, fix, entry.name, FORCE)
    for slot in known.keys() - slots.keys():
        message = f"the block of {marker!r} is missing in {slot_name(file, slot)}"
        fix = f"Restore it with '{SYNC}'"
        yield Finding("error", message, str(workspace.path(file)), fix, entry.name if entry else "", SYNC)


def _equals_fragment(workspace: Workspace, file: str, entry: ModuleEntry, block: Block) -> bool:
    """Return whether a block equals the module's current fragment; then the fragments are reported instead."""
    try:
        fragments = read_fragments(workspace, workspace.root / entry.path)
    except (BuilderError, OSError):
        return False
    return any(block.digest in contribution.digests for contribution in fragments.contributions[file])
