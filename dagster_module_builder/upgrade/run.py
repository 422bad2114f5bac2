"""The upgrade of a module: read, merge, commit."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dagster_module_builder.base import baseline, ports, settings
from dagster_module_builder.base.baseline import FileContent, Tree
from dagster_module_builder.base.errors import DamagedFileError, NoModuleError, RefusedError, UsageError
from dagster_module_builder.modules import unfinished
from dagster_module_builder.modules.record import Record, read_record, refuse_newer
from dagster_module_builder.modules.unfinished import Unfinished
from dagster_module_builder.programs.version_control import find, uncommitted
from dagster_module_builder.shared_files.formats import env_file
from dagster_module_builder.transactions import module_files
from dagster_module_builder.transactions.plan import SECRET_MODE, FileChange, Plan
from dagster_module_builder.transactions.reading import under_lock
from dagster_module_builder.upgrade import missing_pieces, three_way
from dagster_module_builder.upgrade.changes import carry_out, change, confined, held, recorded
from dagster_module_builder.upgrade.rendering import Prepared, Rendering, rendering
from dagster_module_builder.upgrade.three_way import Merged, Versions

#: Secrets of a database that was taken out, beside the fragment; git and deployments leave ``.env.*`` out.
KEPT_SECRETS = settings.FRAGMENTS / ".env.kept"


@dataclass(frozen=True)
class UpgradeResult:
    """What an upgrade did, or, with ``dry_run``, would do.

    Attributes:
        module: The module's folder.
        plan: The files that change.
        conflicts: The files that a person has to look at.
        notes: What a person has to know.
        backup: The backup's id.
        dry_run: Whether nothing was changed.
        behind: Why the module is not up to date even then.
    """

    module: Path
    plan: Plan
    conflicts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    backup: str | None = None
    dry_run: bool = False
    behind: str = ""

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.plan.effective)

    @property
    def changes_fragments(self) -> bool:
        """Whether a fragment for the workspace changes."""
        return any(change.path.is_relative_to(self.module / settings.FRAGMENTS) for change in self.plan.effective)


@dataclass(frozen=True)
class _Proposal:
    """What becomes of the module's files, and what it records in the end."""

    merged: Sequence[Merged]
    record: bytes | None = None
    kept: bytes | None = None
    notes: tuple[str, ...] = ()
    behind: str = ""

    @property
    def conflicts(self) -> tuple[str, ...]:
        return tuple(one.path for one in self.merged if one.conflict)


def locate(root: Path, name: str) -> Path:
    """Return the folder of a module under ``projects/``, made by anybody.

    Raises:
        NoModuleError: There is none of that name.
        RefusedError: It lies elsewhere, where no other command of the workspace is kept away from it.
    """
    projects = root / settings.PROJECTS
    path = Path(name).absolute() if os.sep in name else projects / name
    if not path.is_dir():
        raise NoModuleError(path.name, path.parent)
    if path.resolve().parent != projects.resolve():
        raise RefusedError(f"{path} lies outside {projects}: bring it there with 'workspace.add {path} --move' first.")
    return projects / path.name


def waiting(root: Path) -> list[str]:
    """Return the names of the modules whose upgrade is not finished."""
    names = (path.name for path in sorted((root / settings.PROJECTS).glob("*/")))
    return [name for name in names if unfinished.path_of(root, name).is_file()]


def upgrade(
    root: Path,
    name: str,
    *,
    dry_run: bool = False,
    allow_dirty: bool = False,
    from_template: Path | None = None,
    answers: Mapping[str, str] | None = None,
    prepared: Prepared | None = None,
) -> UpgradeResult:
    """Bring a module up to date.

    Args:
        root: The workspace's root.
        name: The module's name.
        dry_run: Change nothing.
        allow_dirty: Go on although git has changes that are not committed.
        from_template: The template that the module was made from, where no baseline is kept with the module.
        answers: Answers by question that replace those that are recorded.
        prepared: A rendering that was made before; it is taken if the module's record is still what it was made of.

    Raises:
        RefusedError: An upgrade is unfinished, the git tree is dirty, or it would be a downgrade. Nothing was changed.
        DamagedFileError: What the module records of the template cannot be used.
    """

    def work(recovered: list[str]) -> UpgradeResult:
        module = locate(root, name)
        if unfinished.read(root, module.name):
            raise RefusedError(
                f"An upgrade of {module.name!r} is not finished: resolve its conflicts, then run "
                f"'upgrade {module.name} --continue'; or give everything back with 'upgrade {module.name} --abort'."
            )
        proposal = _proposal(root, module, from_template, answers or {}, prepared)
        plan = _plan(root, module, proposal)
        dirty = "" if allow_dirty or not plan.effective else _uncommitted(module)
        if dirty and not dry_run:
            raise RefusedError(dirty)
        notes = [*recovered, *proposal.notes, *(one.note for one in proposal.merged if one.note)]
        notes += [f"The upgrade would be refused: {dirty}"] if dirty else []
        backup = None if dry_run else carry_out(root, module, plan)
        return UpgradeResult(module, plan, proposal.conflicts, tuple(notes), backup, dry_run, proposal.behind)

    return under_lock(root, work, changes=not dry_run)


def _uncommitted(module: Path) -> str:
    """Say what keeps git from showing what an upgrade changes."""
    repository = find(module)
    way_out = "Commit them, so that git shows what the upgrade changes, or pass --allow-dirty."
    return "" if repository is None else uncommitted(module, repository.changed(), way_out)


def _proposal(
    root: Path, module: Path, from_template: Path | None, given: Mapping[str, str], prepared: Prepared | None
) -> _Proposal:
    def rendered(source: Mapping[str, Any] | Record) -> Rendering:
        return prepared.rendering if prepared and prepared.source == source else rendering(root, source)

    record = read_record(module)
    if record is None:
        if given:
            raise UsageError(f"--set: {module.name!r} was not made from the template, so it has no answers to change.")
        found = missing_pieces.missing(root, module, rendered(missing_pieces.answers_for(module)).tree)
        return _Proposal(found.merged, notes=found.notes)
    wanted = record.with_answers(given, ports.known_ports(root)) if given else record
    today = rendered(wanted)
    refuse_newer(module.name, record.version, today.version)
    base = _base(root, record, today, from_template, same=not given)
    if base is None:
        found = missing_pieces.missing(root, module, rendered(missing_pieces.answers_for(module)).tree)
        behind = (
            f"No baseline is kept with {module.name}, which was made from template {record.version}: only what is "
            f"missing was looked for. Pass --from-template with a checkout of that template to merge its changes."
        )
        return _Proposal(found.merged, notes=found.notes, behind=behind)
    mine = _mine(module, {*base, *today.tree})
    merged = three_way.merge(base, mine, today.tree, Versions(record.version, today.version))
    filled = _with_secrets(module, base, list(merged))
    return _Proposal(filled, today.record, baseline.packed(today.tree), today.notes)


def _base(root: Path, record: Record, today: Rendering, from_template: Path | None, *, same: bool) -> Tree | None:
    """Return the files that the module was made from; None where it cannot be known."""
    module = record.path.parent
    try:
        kept = baseline.read(module)
    except ValueError as error:
        found = f"this baseline cannot be used: {error}"
        raise DamagedFileError(module / baseline.FILE, None, found, "Take it from git.") from None
    if kept is not None:
        return kept
    if from_template:
        return rendering(root, record, from_template.absolute()).tree
    if record.version != today.version:
        return None
    return today.tree if same else rendering(root, record).tree


def _mine(module: Path, paths: Iterable[str]) -> dict[str, FileContent]:
    files = {name: confined(module, name) for name in paths}
    return {name: held(module, path) for name, path in files.items() if path.is_file()}


def _with_secrets(module: Path, base: Tree, merged: Sequence[Merged]) -> list[Merged]:
    """Make the secrets that are new, and keep those whose lines go: an old volume still wants its password."""
    before = module_files.read(module, confined(module, KEPT_SECRETS.as_posix()))
    kept = env_file.values(before or b"")
    filled = [_filled(one, kept) for one in merged]
    for one in filled:
        if one.path == (settings.FRAGMENTS / env_file.NAME).as_posix() and one.before:
            names = three_way.secret_names(base[one.path].content) if one.path in base else set()
            yours, after = (env_file.values(side.content if side else b"") for side in (one.before, one.after))
            kept = {name: value for name, value in kept.items() if name not in after}
            kept |= {name: yours[name] for name in sorted(names & set(yours) - set(after))}
    content = b"".join(b"%s='%s'\n" % (name.encode(), value.encode()) for name, value in kept.items()) or None
    if content != before:
        note = f"The secrets that the module no longer needs are kept in {KEPT_SECRETS}." if content else ""
        old, new = (None if side is None else FileContent(side) for side in (before, content))
        filled.append(Merged(KEPT_SECRETS.as_posix(), old, new, note=note))
    return filled


def _filled(one: Merged, kept: Mapping[str, str]) -> Merged:
    """Put the secrets that are kept, and new ones, in the place of an env file's placeholders."""
    if one.after is None or not one.path.endswith("/.env"):
        return one
    content = three_way.with_secrets(one.after.content, kept)
    for placeholder in three_way.placeholders(content):
        content = content.replace(placeholder, secrets.token_urlsafe(24).encode())
    return replace(one, after=FileContent(content, one.after.executable))


def _plan(root: Path, module: Path, proposal: _Proposal) -> Plan:
    changes = [change(module, one) for one in proposal.merged]
    if proposal.conflicts:
        state = _state(proposal)
        return Plan((*changes, FileChange(unfinished.path_of(root, module.name), None, state.to_bytes(), SECRET_MODE)))
    return Plan((*changes, *recorded(module, proposal.record, proposal.kept)))


def _state(proposal: _Proposal) -> Unfinished:
    changed = [one for one in proposal.merged if one.before != one.after]
    return Unfinished(
        old={one.path: one.before.content if one.before else None for one in changed},
        executable=tuple(one.path for one in changed if one.before and one.before.executable),
        conflicts=proposal.conflicts,
        record=proposal.record or b"",
        baseline=proposal.kept or b"",
        marker_sizes={one.path: one.marker_size for one in changed if one.marker_size != three_way.MARKER_SIZE},
    )
