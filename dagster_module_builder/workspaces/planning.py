"""Which bytes the shared files and the registry get when modules are added, updated or removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from dagster_module_builder.claims.facts import load_lines
from dagster_module_builder.shared_files.formats import compose, dg_toml
from dagster_module_builder.shared_files.formats.shared_file import Contribution
from dagster_module_builder.shared_files.merge import MergedFile, merge
from dagster_module_builder.transactions.plan import FileChange, Plan
from dagster_module_builder.transactions.registry import ModuleEntry, Registry, parse_registry, slot_name
from dagster_module_builder.workspaces import left_behind
from dagster_module_builder.workspaces.module_fragments import ModuleFragments
from dagster_module_builder.workspaces.workspace import MODES, Workspace


def plan_changes(
    workspace: Workspace,
    put: Sequence[ModuleFragments],
    take: Sequence[ModuleEntry],
    *,
    force: bool = False,
    now: datetime | None = None,
) -> Plan:
    """Plan which bytes the workspace's files get.

    Args:
        workspace: The workspace as it was read.
        put: The modules to add or to update.
        take: The modules to remove.
        force: Replace or remove blocks that were edited by hand, too.
        now: The time to record in the registry; None reads the clock.

    Raises:
        DamagedFileError: A file cannot be edited safely.
        EditedBlockError: A block was edited by hand, and ``force`` is not set.
    """
    workspace = workspace.with_files(file for fragments in put for file in fragments.contributions)
    merged = {file: _merged(workspace, file, put, take, force=force) for file in workspace.kinds}
    time = now or datetime.now(timezone.utc)
    entries = {entry.name: None for entry in take} | {
        fragments.module.path.name: _entry(workspace, fragments, merged, time) for fragments in put
    }
    registry = workspace.registry.with_entries(entries, merged, workspace.chosen_services)
    bodies = {fragments.module.path.name: _mappings(fragments) for fragments in put}
    registry = registry.with_left_behind(dict(left_behind.changes(workspace, bodies, entries)))
    changes = [
        FileChange(
            workspace.path(file),
            workspace.files[file],
            result.text,
            MODES.get(file, 0o644),
            shown_as=workspace.kinds[file].name,
            public=_of_projects(put) if file == dg_toml.NAME else frozenset(),
        )
        for file, result in merged.items()
    ]
    registry_change = FileChange(workspace.layout.registry, workspace.registry_bytes, registry.to_bytes())
    return Plan((*changes, registry_change))


def planned_registry(plan: Plan) -> Registry:
    """Return the registry as a plan leaves it."""
    change = plan.changes[-1]
    return parse_registry(change.path, change.after)


def is_current(workspace: Workspace, fragments: ModuleFragments, entry: ModuleEntry) -> bool:
    """Tell whether a module's blocks, as the registry records them, are what its fragments say now."""
    workspace = workspace.with_files(fragments.contributions)
    wanted = {
        slot_name(file, contribution.path): set(map(workspace.known[file].sealed, contribution.digests))
        for file, contributions in fragments.contributions.items()
        for contribution in contributions
    }
    return wanted.keys() == entry.blocks.keys() and all(
        entry.blocks[slot] in digests for slot, digests in wanted.items()
    )


def _of_projects(put: Sequence[ModuleFragments]) -> frozenset[str]:
    """Return the lines that say where projects are: nothing in them is a secret."""
    found = [each for fragments in put for each in fragments.contributions.get(dg_toml.NAME, ())]
    return frozenset(line.decode() for each in found for line in (*(each.mapping or ()), *(each.sequence or ())))


def _mappings(fragments: ModuleFragments) -> dict[tuple[str, tuple[str, ...]], Sequence[bytes]]:
    return {
        (file, contribution.path): contribution.mapping or ()
        for file, contributions in fragments.contributions.items()
        for contribution in contributions
    }


def _merged(
    workspace: Workspace, file: str, put: Sequence[ModuleFragments], take: Sequence[ModuleEntry], *, force: bool
) -> MergedFile:
    changes: dict[str, Sequence[Contribution]] = {entry.marker: [] for entry in take}
    changes |= {fragments.module.names.snake: fragments.contributions.get(file, ()) for fragments in put}
    layout = workspace.layouts[file].copy()
    absent = workspace.files[file] is None
    path, known = workspace.path(file), workspace.known[file]
    return merge(path, workspace.kinds[file], layout, changes, known, force=force, absent=absent)


def _entry(
    workspace: Workspace, fragments: ModuleFragments, merged: Mapping[str, MergedFile], now: datetime
) -> ModuleEntry:
    module, marker = fragments.module, fragments.module.names.snake
    blocks = {
        slot_name(file, path): value
        for file, result in merged.items()
        for path, value in sorted(result.digests.get(marker, {}).items())
    }
    old = workspace.registry.find(module.path.name)
    data = dict(old.data) if old else {}
    unchanged = data.get("blocks") == blocks
    data |= {
        "name": module.path.name,
        "path": _relative(workspace.root, module.path),
        "integrated_at": (unchanged and data.get("integrated_at")) or now.isoformat(timespec="seconds"),
        "database": _database(fragments),
        "marker": marker,
        "template_version": module.template_version,
        "blocks": blocks,
        "provides": fragments.facts.to_json(),
        "allowed": list(fragments.allowed),
    }
    if workspace.has_own_server(module.path.name):
        data["code_server"] = "own"
    return ModuleEntry(data if fragments.allowed else {key: value for key, value in data.items() if key != "allowed"})


def _relative(root: Path, path: Path) -> str:
    return path.resolve().relative_to(root.resolve()).as_posix()


def _database(fragments: ModuleFragments) -> dict[str, Any] | None:
    service = f"{fragments.module.names.snake}_db"
    if service not in fragments.facts.services:
        return None
    services = next(each for each in fragments.contributions[compose.NAME] if each.path == ("services",))
    image = str(load_lines(services.mapping or ())[service].get("image", ""))
    kind = "mysql" if "mysql" in image.lower() or "mariadb" in image.lower() else "postgresql"
    return {"type": kind, "service": service, "port": next(iter(fragments.facts.ports), None)}
