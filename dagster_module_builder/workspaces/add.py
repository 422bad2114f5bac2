"""Bring a module into the workspace: read, plan, check, commit, report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.modules.module import in_projects, locate
from dagster_module_builder.transactions.reading import under_lock
from dagster_module_builder.workspaces import unmarked
from dagster_module_builder.workspaces.carrying_out import Check, WorkspaceChange, carry_out
from dagster_module_builder.workspaces.clashes import refuse_clashes
from dagster_module_builder.workspaces.module_fragments import read_fragments, unused_allowances
from dagster_module_builder.workspaces.planning import plan_changes
from dagster_module_builder.workspaces.workspace import read_workspace


def add_module(
    root: Path,
    name_or_path: str,
    *,
    dry_run: bool = False,
    force: bool = False,
    move: bool = False,
    adopting: bool = False,
    code_services: Sequence[str] = (),
    own_server: bool = False,
    allowances: Mapping[str, Sequence[str]] | None = None,
    checks: Sequence[Check] = (),
    warn: Callable[[str], None] | None = None,
) -> WorkspaceChange:
    """Bring a module into the workspace.

    Args:
        root: The workspace's root.
        name_or_path: The module's name, or the path of its folder.
        dry_run: Plan and check, but change nothing.
        force: Replace its blocks that the registry does not know.
        move: Move it to the folder for new modules first if it is in no folder of modules.
        adopting: Take over its lines that an older version, or a person, added without markers.
        code_services: The services that run code, if the Compose file does not show it; the registry remembers them.
        own_server: Give it its own code server in any case; the registry remembers it.
        allowances: The settings that a person allows, by module; the registry remembers them.
        checks: Look at the plan before it is carried out.
        warn: Called before anything changes for each password that a running database will not learn; None notes them.

    Raises:
        RefusedError: It is in the workspace already, does not exist, or clashes with others. Nothing was changed.
    """

    def work() -> WorkspaceChange:
        workspace = replace(read_workspace(root), chosen_services=tuple(code_services), allowances=allowances or {})
        folder = locate(root, name_or_path)
        if own_server:
            workspace = replace(workspace, own_servers=(folder.name,))
        entry = workspace.registry.find(folder.name)
        if entry and not unmarked.is_old(entry):
            raise RefusedError(
                f"{folder.name!r} is in the workspace already. Remove it first: 'workspace.remove {folder.name}'."
            )
        with in_projects(root, folder, move=move and not dry_run) as path:
            fragments = read_fragments(workspace, path)
            cleared = unmarked.taken_over(workspace, [fragments.module], force=force)
            refuse_clashes(cleared, [fragments])
            changes = plan_changes(cleared, [fragments], [], force=force or entry is not None)
            plan = unmarked.from_the_start(changes, workspace)
            if (entry or cleared is not workspace) and not (adopting or force or dry_run):
                unmarked.refuse_unseen(plan, path.name, entry)
            notes = [*fragments.notes, *fragments.warnings, *unused_allowances(workspace, [fragments])]
            return carry_out(workspace, plan, (path.name,), notes, dry_run=dry_run, checks=checks, warn=warn)

    return under_lock(root, work, changes=not dry_run)
