"""What modules claim in a workspace: two may not claim the same name, port or volume."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dagster_module_builder.base.errors import ConflictError, RefusedError
from dagster_module_builder.base.names import folded
from dagster_module_builder.claims.conflicts import WORKSPACE, duplicates, undefined
from dagster_module_builder.claims.facts import Facts, facts_of_bodies
from dagster_module_builder.transactions.registry import ModuleEntry
from dagster_module_builder.workspaces.module_fragments import ModuleFragments
from dagster_module_builder.workspaces.workspace import Workspace, bodies_of


def refuse_clashes(workspace: Workspace, added: Sequence[ModuleFragments], leaving: Collection[str] = ()) -> None:
    """Refuse modules that claim what another module has, or use a variable that is set nowhere.

    Args:
        workspace: The workspace as it was read.
        added: The modules to add.
        leaving: The names of modules that the same plan removes.

    Raises:
        ConflictError: It lists every clash.
    """
    _refuse_colliding_names(workspace, added, leaving)
    facts = {owner: claimed for owner, claimed in all_facts(workspace, added).items() if owner not in leaving}
    names = [fragments.module.path.name for fragments in added]
    # What the owner's lines use is set by whoever starts the workspace, such as in a file that is not committed.
    findings = [*duplicates(facts, of=names), *undefined(facts, names, facts[WORKSPACE].uses)]
    if findings:
        raise ConflictError([str(finding) for finding in findings])


def all_facts(workspace: Workspace, added: Sequence[ModuleFragments] = ()) -> dict[str, Facts]:
    """Return all claims by owner: the workspace, its modules, and those to add."""
    replaced = {fragments.module.path.name for fragments in added}
    others = [entry for entry in workspace.registry.entries if entry.name not in replaced]
    return {
        WORKSPACE: workspace.facts,
        **{entry.name: _facts_of_entry(workspace, entry) for entry in others},
        **{fragments.module.path.name: fragments.facts for fragments in added},
    }


def _refuse_colliding_names(workspace: Workspace, added: Sequence[ModuleFragments], leaving: Collection[str]) -> None:
    owners: dict[str, str] = {}
    names = [entry.name for entry in workspace.registry.entries if entry.name not in leaving]
    for name in [*names, *(fragments.module.path.name for fragments in added)]:
        other = owners.setdefault(folded(name), name)
        if other != name:
            raise RefusedError(f"{name!r} and {other!r} would have the same variables and services. Rename one.")


def _facts_of_entry(workspace: Workspace, entry: ModuleEntry) -> Facts:
    if entry.provides is not None:
        return Facts.from_json(entry.provides)
    return facts_of_bodies(bodies_of(workspace, entry.marker), workspace.own_env)
