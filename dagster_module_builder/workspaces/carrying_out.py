"""The last steps of every change of a workspace: check the plan, commit it, report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from dagster_module_builder.transactions.plan import Plan
from dagster_module_builder.transactions.registry import Registry
from dagster_module_builder.transactions.transaction import commit
from dagster_module_builder.workspaces import passwords
from dagster_module_builder.workspaces.planning import planned_registry
from dagster_module_builder.workspaces.returning import returning
from dagster_module_builder.workspaces.workspace import Workspace

#: Looks at a plan before it is carried out: returns notes, or raises what is wrong with it.
Check = Callable[[Workspace, Plan], Iterable[str]]


@dataclass(frozen=True)
class WorkspaceChange:
    """What a command changed in the workspace, or would change with ``dry_run``.

    Attributes:
        plan: The bytes of the files, before and after.
        modules: The names of the modules that it is about.
        dry_run: Whether nothing was written.
        backup: The backup's id; None where nothing was written.
        notes: What to tell a person.
    """

    plan: Plan
    modules: tuple[str, ...]
    dry_run: bool = False
    backup: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def registry(self) -> Registry:
        """The registry as the plan leaves it."""
        return planned_registry(self.plan)


def carry_out(
    workspace: Workspace,
    plan: Plan,
    modules: tuple[str, ...],
    notes: Sequence[str] = (),
    *,
    dry_run: bool,
    checks: Sequence[Check] = (),
    warn: Callable[[str], None] | None = None,
) -> WorkspaceChange:
    """Run all checks of a plan at once, then commit it, unless this is a dry run.

    Passwords that a running database will not learn go to ``warn`` before anything changes; without it, they are notes.
    """
    stale = [f"Warning: {password}" for password in passwords.changed_by(workspace, plan)]
    stale += [f"Warning: {database}" for database in returning(workspace, plan, ask=bool(checks))]
    if warn:
        for text in stale:
            warn(text)
    with ThreadPoolExecutor(max(len(checks), 1)) as threads:
        found = [note for noted in threads.map(lambda check: list(check(workspace, plan)), checks) for note in noted]
    backup = None if dry_run else commit(workspace.root, plan)
    return WorkspaceChange(plan, modules, dry_run, backup, (*notes, *([] if warn else stale), *found))
