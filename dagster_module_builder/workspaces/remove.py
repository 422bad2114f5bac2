"""Take a module out of the workspace; its folder and its data stay."""

from __future__ import annotations

from pathlib import Path

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.base.names import did_you_mean
from dagster_module_builder.transactions.reading import under_lock
from dagster_module_builder.workspaces import left_behind, unmarked
from dagster_module_builder.workspaces.carrying_out import WorkspaceChange, carry_out
from dagster_module_builder.workspaces.planning import plan_changes
from dagster_module_builder.workspaces.workspace import Workspace, read_workspace


def remove_module(
    root: Path, name: str, *, dry_run: bool = False, force: bool = False, adopting: bool = False
) -> WorkspaceChange:
    """Take a module out of the workspace; its project folder and its data stay.

    Args:
        root: The workspace's root.
        name: The module's name.
        dry_run: Plan, but change nothing.
        force: Remove blocks that were edited by hand, too.
        adopting: Remove its lines that an older version added without markers.

    Raises:
        RefusedError: It is not in the workspace, or its blocks were edited by hand and ``force`` is not set.
    """

    def work() -> WorkspaceChange:
        workspace = read_workspace(root)
        entry = workspace.registry.find_typed(Path(name).name)
        if entry is None:
            raise RefusedError(_unknown(workspace, Path(name).name))
        is_old = unmarked.is_old(entry)
        lines = unmarked.unmarked_lines(workspace, entry.name) if is_old else {}
        changes = plan_changes(unmarked.without_lines(workspace, lines), [], [entry], force=force or is_old)
        plan = unmarked.from_the_start(changes, workspace)
        if is_old and not (adopting or force or dry_run):
            unmarked.refuse_unseen(plan, entry.name, entry)
        return carry_out(workspace, plan, (entry.name,), dry_run=dry_run)

    return under_lock(root, work, changes=not dry_run)


def _unknown(workspace: Workspace, name: str) -> str:
    meant = did_you_mean(name, [entry.name for entry in workspace.registry.entries])
    cure = meant or " 'workspace.list' shows what is."
    return f"{name!r} is not in the workspace.{cure}{left_behind.hint(workspace, name)}"
