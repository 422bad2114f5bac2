"""Modules into the workspace and out of it: read, plan, check, commit, report."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import ConflictError, RefusedError
from dagster_module_builder.base.names import folded
from dagster_module_builder.claims.conflicts import WORKSPACE, duplicates, undefined
from dagster_module_builder.claims.facts import Facts, facts_of_bodies, load_lines
from dagster_module_builder.modules.module import in_projects, locate
from dagster_module_builder.shared_files.formats import compose
from dagster_module_builder.shared_files.formats.shared_file import Contribution
from dagster_module_builder.shared_files.merge import Merged, merge
from dagster_module_builder.transactions.plan import FileChange, Plan
from dagster_module_builder.transactions.reading import under_lock
from dagster_module_builder.transactions.registry import Entry, Registry, parse_registry, slot_name
from dagster_module_builder.transactions.transaction import commit
from dagster_module_builder.workspaces import adopt, left_behind, passwords
from dagster_module_builder.workspaces.module_fragments import Given, read_given, unused_allowances
from dagster_module_builder.workspaces.returning import returning
from dagster_module_builder.workspaces.workspace import MODES, SHARED_FILES, Workspace, bodies_of, read_workspace


@dataclass(frozen=True)
class Outcome:
    """What a command did, or, with ``dry_run``, would do."""

    plan: Plan
    modules: tuple[str, ...]
    dry_run: bool = False
    backup: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def registry(self) -> Registry:
        """The registry as the plan leaves it."""
        return planned_registry(self.plan)


def planned_registry(plan: Plan) -> Registry:
    """Return the registry as a plan leaves it."""
    change = plan.changes[-1]
    return parse_registry(change.path, change.after)


#: Looks at a plan before it is carried out; returns notes, raises where it must not be.
Check = Callable[[Workspace, Plan], Iterable[str]]


def add(
    root: Path,
    name_or_path: str,
    *,
    dry_run: bool = False,
    force: bool = False,
    move: bool = False,
    adopting: bool = False,
    code_services: Sequence[str] = (),
    allowances: Mapping[str, Sequence[str]] | None = None,
    checks: Sequence[Check] = (),
    warn: Callable[[str], None] | None = None,
) -> Outcome:
    """Bring a module into the workspace.

    Args:
        root: The workspace's root.
        name_or_path: The module's name, or the path of its folder.
        dry_run: Plan and check, but change nothing.
        force: Replace blocks of it that are there without the registry knowing them.
        move: Move its folder under ``projects/`` first, where it is elsewhere.
        adopting: Take over what an older version, or a person, put there for it without marking it.
        code_services: The services that run code, where the compose file does not show it; the registry remembers them.
        allowances: The settings that a person allows, by module; the registry remembers them.
        checks: What looks at the plan before it is carried out.
        warn: Told of passwords that old databases do not learn of, before anything changes; None makes notes of it.

    Raises:
        RefusedError: It is integrated already, does not exist, or clashes with what is there. Nothing was changed.
    """

    def work(recovered: list[str]) -> Outcome:
        workspace = replace(read_workspace(root), chosen_services=tuple(code_services), allowances=allowances or {})
        found = locate(root, name_or_path)
        entry = workspace.registry.find(found.name)
        if entry and not adopt.is_old(entry):
            raise RefusedError(f"{found.name!r} is already integrated: use 'workspace.remove {found.name}' first.")
        with in_projects(root, found, move=move and not dry_run) as path:
            given = read_given(workspace, path)
            free = adopt.taken_over(workspace, [given.module], force=force)
            refuse_clashes(free, [given])
            plan = adopt.from_the_start(plan_changes(free, [given], [], force=force or entry is not None), workspace)
            if (entry or free is not workspace) and not (adopting or force or dry_run):
                adopt.refuse_unseen(plan, path.name, _what_is_there(entry))
            notes = [*recovered, *given.notes, *given.warnings, *unused_allowances(workspace, [given])]
            return carry_out(workspace, plan, (path.name,), notes, dry_run=dry_run, checks=checks, warn=warn)

    return under_lock(root, work, changes=not dry_run)


def _what_is_there(entry: Entry | None) -> str:
    if entry:
        return "The registry has an entry of an older version, without the digests of its blocks"
    return "There are lines of its variables without a marker"


def remove(root: Path, name: str, *, dry_run: bool = False, force: bool = False, adopting: bool = False) -> Outcome:
    """Take a module out of the workspace; its project folder and its data stay.

    Args:
        root: The workspace's root.
        name: The module's name.
        dry_run: Plan, but change nothing.
        force: Take out blocks that somebody edited.
        adopting: Take out what an older version put there without recording or marking it.

    Raises:
        RefusedError: It is not integrated, or somebody edited its blocks and ``force`` is not given.
    """

    def work(recovered: list[str]) -> Outcome:
        workspace = read_workspace(root)
        entry = workspace.registry.find(Path(name).name)
        if entry is None:
            raise RefusedError(
                f"{name!r} is not integrated: see 'workspace.list'.{left_behind.hint(workspace, Path(name).name)}"
            )
        lines = adopt.unmarked(workspace, entry.name) if adopt.is_old(entry) else {}
        free = adopt.without_lines(workspace, lines)
        plan = adopt.from_the_start(plan_changes(free, [], [entry], force=force or adopt.is_old(entry)), workspace)
        if adopt.is_old(entry) and not (adopting or force or dry_run):
            adopt.refuse_unseen(plan, entry.name, _what_is_there(entry))
        return carry_out(workspace, plan, (entry.name,), recovered, dry_run=dry_run)

    return under_lock(root, work, changes=not dry_run)


def carry_out(
    workspace: Workspace,
    plan: Plan,
    modules: tuple[str, ...],
    recovered: list[str],
    *,
    dry_run: bool,
    checks: Sequence[Check] = (),
    warn: Callable[[str], None] | None = None,
) -> Outcome:
    """Let the checks look at a plan, all at once, then commit it, unless it is a dry run.

    Passwords that running databases do not learn of are told to ``warn`` before anything changes; else they are notes.
    """
    stale = [f"Warning: {one}" for one in passwords.changed_by(workspace, plan)]
    stale += [f"Warning: {database}" for database in returning(workspace, plan, ask=bool(checks))]
    if warn:
        for text in stale:
            warn(text)
    with ThreadPoolExecutor(max(len(checks), 1)) as threads:
        notes = [note for noted in threads.map(lambda check: list(check(workspace, plan)), checks) for note in noted]
    backup = None if dry_run else commit(workspace.root, plan)
    return Outcome(plan, modules, dry_run, backup, (*recovered, *([] if warn else stale), *notes))


def refuse_clashes(workspace: Workspace, given: Sequence[Given], leaving: Collection[str] = ()) -> None:
    """Refuse modules that claim what somebody else has, or use a variable that nobody sets.

    Args:
        workspace: The workspace as it was read.
        given: The modules that are put in.
        leaving: The names of modules that are taken out by the same plan.

    Raises:
        ConflictError: With everything that was found.
    """
    _refuse_colliding_names(workspace, given, leaving)
    facts = {owner: claimed for owner, claimed in all_facts(workspace, given).items() if owner not in leaving}
    added = [one.module.path.name for one in given]
    findings = [*duplicates(facts, of=added), *undefined(facts, added)]
    if findings:
        raise ConflictError([str(finding) for finding in findings])


def _refuse_colliding_names(workspace: Workspace, given: Sequence[Given], leaving: Collection[str]) -> None:
    owners: dict[str, str] = {}
    names = [entry.name for entry in workspace.registry.entries if entry.name not in leaving]
    for name in [*names, *(one.module.path.name for one in given)]:
        other = owners.setdefault(folded(name), name)
        if other != name:
            raise RefusedError(f"{name!r} and {other!r} would share their derived names: rename one.")


def all_facts(workspace: Workspace, given: Sequence[Given] = ()) -> dict[str, Facts]:
    """Return what everybody claims: the workspace, the integrated modules, and those that are put in."""
    replaced = {one.module.path.name for one in given}
    others = [entry for entry in workspace.registry.entries if entry.name not in replaced]
    return {
        WORKSPACE: workspace.facts,
        **{entry.name: _facts_of_entry(workspace, entry) for entry in others},
        **{one.module.path.name: one.facts for one in given},
    }


def _facts_of_entry(workspace: Workspace, entry: Entry) -> Facts:
    if entry.provides is not None:
        return Facts.from_json(entry.provides)
    return facts_of_bodies(bodies_of(workspace, entry.marker), workspace.own_env)


def plan_changes(
    workspace: Workspace,
    put: Sequence[Given],
    take: Sequence[Entry],
    *,
    force: bool = False,
    now: datetime | None = None,
) -> Plan:
    """Plan which bytes the workspace's files get.

    Args:
        workspace: The workspace as it was read.
        put: The modules that are put in, or brought up to date.
        take: The modules that are taken out.
        force: Replace or remove blocks that somebody edited.
        now: The time that the registry gets; the clock's when None.

    Raises:
        DamagedFileError: A file cannot be edited safely.
        EditedBlockError: A block is not as it was put there, and ``force`` is not given.
    """
    merged = {file: _merged(workspace, file, put, take, force=force) for file in SHARED_FILES}
    entries = {entry.name: None for entry in take} | {
        one.module.path.name: _entry(workspace, one, merged, now or datetime.now(timezone.utc)) for one in put
    }
    registry = workspace.registry.with_entries(entries, merged, workspace.chosen_services)
    given_bodies = {
        one.module.path.name: {
            (file, each.path): each.mapping or () for file, every in one.contributions.items() for each in every
        }
        for one in put
    }
    registry = registry.with_left_behind(dict(left_behind.changes(workspace, given_bodies, entries)))
    changes = [
        FileChange(workspace.path(file), workspace.files[file], result.text, MODES.get(file, 0o644))
        for file, result in merged.items()
    ]
    registry_change = FileChange(workspace.root / settings.REGISTRY, workspace.registry_bytes, registry.to_bytes())
    return Plan((*changes, registry_change))


def _merged(workspace: Workspace, file: str, put: Sequence[Given], take: Sequence[Entry], *, force: bool) -> Merged:
    changes: dict[str, Sequence[Contribution]] = {entry.marker: [] for entry in take}
    changes |= {one.module.names.snake: one.contributions[file] for one in put}
    layout = workspace.layouts[file].copy()
    absent = workspace.files[file] is None
    path, known = workspace.path(file), workspace.known[file]
    return merge(path, SHARED_FILES[file], layout, changes, known, force=force, absent=absent)


def _entry(workspace: Workspace, given: Given, merged: Mapping[str, Merged], now: datetime) -> Entry:
    module, marker = given.module, given.module.names.snake
    blocks = {
        slot_name(file, path): value
        for file, result in merged.items()
        for path, value in sorted(result.digests.get(marker, {}).items())
    }
    there = workspace.registry.find(module.path.name)
    data = dict(there.data) if there else {}
    unchanged = data.get("blocks") == blocks
    data |= {
        "name": module.path.name,
        "path": _relative(workspace.root, module.path),
        "integrated_at": (unchanged and data.get("integrated_at")) or now.isoformat(timespec="seconds"),
        "database": _database(given),
        "marker": marker,
        "template_version": module.template_version,
        "blocks": blocks,
        "provides": given.facts.to_json(),
        "allowed": list(given.allowed),
    }
    return Entry(data if given.allowed else {key: value for key, value in data.items() if key != "allowed"})


def is_current(workspace: Workspace, given: Given, entry: Entry) -> bool:
    """Tell whether a module's blocks, as the registry remembers them, are what it gives now."""
    wanted = {
        slot_name(file, one.path): set(map(workspace.known[file].sealed, one.digests))
        for file, contributions in given.contributions.items()
        for one in contributions
    }
    return wanted.keys() == entry.blocks.keys() and all(
        entry.blocks[slot] in digests for slot, digests in wanted.items()
    )


def _relative(root: Path, path: Path) -> str:
    return path.resolve().relative_to(root.resolve()).as_posix()


def _database(given: Given) -> dict[str, Any] | None:
    service = f"{given.module.names.snake}_db"
    if service not in given.facts.services:
        return None
    services = next(one for one in given.contributions[compose.NAME] if one.path == ("services",))
    image = str(load_lines(services.mapping or ())[service].get("image", ""))
    kind = "mysql" if "mysql" in image.lower() or "mariadb" in image.lower() else "postgresql"
    return {"type": kind, "service": service, "port": next(iter(given.facts.ports), None)}
