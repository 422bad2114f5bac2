"""All modules of the workspace in one plan: new ones are added, changed ones updated, vanished ones removed."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dagster_module_builder.modules.module import modules_in, refuse_namesakes
from dagster_module_builder.transactions.plan import Plan
from dagster_module_builder.transactions.reading import under_lock
from dagster_module_builder.transactions.registry import ModuleEntry
from dagster_module_builder.workspaces import neighbours, unmarked
from dagster_module_builder.workspaces.carrying_out import Check, WorkspaceChange, carry_out
from dagster_module_builder.workspaces.clashes import refuse_clashes
from dagster_module_builder.workspaces.hashes import with_lock
from dagster_module_builder.workspaces.module_fragments import read_fragments, unused_allowances
from dagster_module_builder.workspaces.planning import plan_changes
from dagster_module_builder.workspaces.run_limits import with_run_limits
from dagster_module_builder.workspaces.workspace import Workspace, read_workspace
from dagster_module_builder.workspaces.workspace_names import with_own_names


@dataclass(frozen=True)
class Synced:
    """What a sync did, or would do: the names of modules by what happened to them."""

    outcome: WorkspaceChange
    added: tuple[str, ...]
    updated: tuple[str, ...]
    removed: tuple[str, ...]
    vanished: tuple[str, ...]


def _vanished(workspace: Workspace, present: Container[str]) -> list[ModuleEntry]:
    """Return the modules whose folder is gone; one that is in another folder of modules now was moved."""
    gone = [entry for entry in workspace.registry.entries if not (workspace.root / entry.path).is_dir()]
    return [entry for entry in gone if entry.name not in present]


def sync(
    root: Path,
    *,
    prune: bool = False,
    dry_run: bool = False,
    force: bool = False,
    allowances: Mapping[str, Sequence[str]] | None = None,
    checks: Sequence[Check] = (),
    warn: Callable[[str], None] | None = None,
) -> Synced:
    """Bring every module in a folder of modules into the workspace as its fragments are now.

    A workspace of an earlier version also gets a project, a network and a port that no other workspace has, the hashes
    of what it installs, and the limits of runs.

    Args:
        root: The workspace's root.
        prune: Remove the modules whose project folder is gone.
        dry_run: Plan and check, but change nothing.
        force: Replace blocks that were edited by hand, too.
        allowances: The settings that a person allows, by module; the registry remembers them.
        checks: Look at the plan before it is carried out.
        warn: Called before anything changes for each password that a running database will not learn; None notes them.

    Raises:
        RefusedError: A fragment or a shared file cannot be used, or modules clash. Nothing was changed.
    """

    def work() -> Synced:
        workspace = replace(read_workspace(root), allowances=allowances or {})
        named, notes = with_own_names(workspace)
        named, others, lock_notes = with_lock(named)
        named, limit_notes = with_run_limits(named)
        notes += [*lock_notes, *limit_notes]
        modules = [read_fragments(named, path) for path in refuse_namesakes(modules_in(root))]
        notes += [warning for module in modules for warning in module.warnings]
        notes += unused_allowances(named, modules)
        vanished = _vanished(workspace, {module.module.path.name for module in modules})
        taken = vanished if prune else []
        cleared = unmarked.taken_over(named, [each.module for each in modules], force=True) if force else named
        refuse_clashes(cleared, modules, leaving=[entry.name for entry in taken])
        merged = unmarked.from_the_start(plan_changes(cleared, modules, taken, force=force), workspace)
        plan = Plan((*others, *merged.changes))
        names = tuple(module.module.path.name for module in modules)
        outcome = carry_out(workspace, plan, names, notes, dry_run=dry_run, checks=checks, warn=warn)
        return _told_apart(workspace, outcome, vanished, taken)

    done = under_lock(root, work, changes=not dry_run)
    if not dry_run:
        with neighbours.one_at_a_time():
            neighbours.remember(root)
    return done


def _told_apart(
    workspace: Workspace, outcome: WorkspaceChange, vanished: Sequence[ModuleEntry], taken: Sequence[ModuleEntry]
) -> Synced:
    before = {entry.name: entry.blocks for entry in workspace.registry.entries}
    after = {entry.name: entry.blocks for entry in outcome.registry.entries}
    return Synced(
        outcome,
        added=tuple(name for name in after if name not in before),
        updated=tuple(name for name in after if name in before and before[name] != after[name]),
        removed=tuple(entry.name for entry in taken),
        vanished=tuple(entry.name for entry in vanished if entry not in taken),
    )
