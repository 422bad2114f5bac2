"""The upgrade of a module: propose, plan, commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.modules import unfinished
from dagster_module_builder.modules.code_locations import code_locations
from dagster_module_builder.modules.module import folder_of
from dagster_module_builder.modules.unfinished import Unfinished
from dagster_module_builder.programs.version_control import find, uncommitted
from dagster_module_builder.transactions.plan import SECRET_MODE, FileChange, Plan
from dagster_module_builder.transactions.reading import under_lock
from dagster_module_builder.upgrade import three_way
from dagster_module_builder.upgrade.changes import change, recorded
from dagster_module_builder.upgrade.lock_files import fresh_locks
from dagster_module_builder.upgrade.proof import Loader
from dagster_module_builder.upgrade.proposal import Proposal, propose
from dagster_module_builder.upgrade.proven import carry_out_proven
from dagster_module_builder.upgrade.rendering import Prepared
from dagster_module_builder.upgrade.result import UpgradeResult


def locate(root: Path, name: str) -> Path:
    """Return the folder of a module in a folder of modules; it need not come from the template.

    Raises:
        NoModuleError: There is no such module.
        RefusedError: It is elsewhere, where the workspace's lock does not protect it, or the name means two.
    """
    layout, path = layout_of(root), folder_of(root, name)
    parent = next((folder for folder in layout.module_folders if path.resolve().parent == folder.resolve()), None)
    if parent is None:
        raise RefusedError(
            f"{path} lies outside {layout.named_module_folders}. Move it with 'workspace.add {path} --move'."
        )
    return parent / path.name


def waiting(root: Path) -> list[str]:
    """Return the names of the modules with an unfinished upgrade."""
    names = dict.fromkeys(path.name for path in layout_of(root).in_module_folders())
    return [name for name in names if unfinished.path_of(root, name).is_file()]


@dataclass(frozen=True)
class Consent:
    """What a person decides while a module is upgraded.

    Attributes:
        may_run: Tells whether a module's code may run, to prove that its definitions still load.
        goes_on: Tells whether a module is upgraded although these parts have to be done by hand.
        choose: Returns the code location of a module that has several, of these dotted names.
        load: Whether to prove it at all.
    """

    may_run: Callable[[Path], bool]
    goes_on: Callable[[Path, Sequence[str]], bool]
    choose: Callable[[Path, Sequence[str]], str] = lambda _, names: names[0]
    load: bool = True


def upgrade(
    root: Path,
    name: str,
    *,
    dry_run: bool = False,
    allow_dirty: bool = False,
    from_template: Path | None = None,
    answers: Mapping[str, str] | None = None,
    prepared: Prepared | None = None,
    consent: Consent | None = None,
    location: str | None = None,
) -> UpgradeResult:
    """Upgrade a module to the current template, or add what it lacks.

    Args:
        root: The workspace's root.
        name: The module's name.
        dry_run: Change nothing, and run nothing.
        allow_dirty: Upgrade despite uncommitted changes in git.
        from_template: The template that the module was created from, if it has no baseline.
        answers: Answers that replace recorded ones.
        prepared: A rendering made in advance; used if it was made from the current record.
        consent: What the person decides; without it the definitions are not loaded.
        location: The dotted name of its code location, if it has several.

    Raises:
        RefusedError: An upgrade is unfinished, git has uncommitted changes, it would be a downgrade, or the
            definitions would no longer load as before. Nothing was changed.
        DamagedFileError: The module's record or baseline cannot be used.
    """
    module = locate(root, name)
    consent = None if dry_run else consent
    location = location or _location(module, consent)
    loads = consent is not None and consent.load
    loader = Loader(root, module, partial(consent.may_run, module), location) if consent and loads else None

    def work() -> UpgradeResult:
        _refuse_unfinished(root, module)
        proposal = propose(root, module, from_template, answers or {}, prepared, loader, location)
        plan = _plan(root, module, proposal)
        dirty = "" if allow_dirty or not plan.effective else _uncommitted(module)
        if dirty and not dry_run:
            raise RefusedError(dirty)
        locks = fresh_locks(module, plan, lambda: loader is not None and loader.allowed and not proposal.conflicts)
        plan = Plan((*plan.changes, *locks.changes))
        notes = [*proposal.notes, *(file.note for file in proposal.files if file.note)]
        notes += [f"The upgrade would be refused: {dirty}"] if dirty else []
        return UpgradeResult(
            module, plan, proposal.conflicts, tuple(notes), None, dry_run, proposal.behind,
            (*proposal.by_hand, *locks.by_hand), adds_only=proposal.record is None,
        )  # fmt: skip

    planned = under_lock(root, work, changes=False)
    if dry_run or not planned.changes:
        return planned
    if consent and planned.by_hand and not consent.goes_on(module, planned.by_hand):
        raise RefusedError("Nothing was changed.")
    return carry_out_proven(root, planned, loader)


def _location(module: Path, consent: Consent | None) -> str | None:
    """Return the code location to take; None for the likeliest."""
    names = [location.dotted or "" for location in code_locations(module)]
    return consent.choose(module, names) if consent and names[1:] else None


def _refuse_unfinished(root: Path, module: Path) -> None:
    if unfinished.read(root, module.name):
        raise RefusedError(
            f"An upgrade of {module.name!r} is not finished. Resolve its conflicts and run "
            f"'upgrade {module.name} --continue', or undo it with 'upgrade {module.name} --abort'."
        )


def _uncommitted(module: Path) -> str:
    """Return a refusal if git has uncommitted changes in the module, else an empty string."""
    repository = find(module)
    way_out = "Commit them, so that git shows what the upgrade changes, or pass --allow-dirty."
    return "" if repository is None else uncommitted(module, repository.changed(), way_out)


def _plan(root: Path, module: Path, proposal: Proposal) -> Plan:
    """Return the plan: files and records, or with conflicts, files and the state of the unfinished upgrade."""
    changes = [change(module, file) for file in proposal.files]
    if proposal.conflicts:
        state = _state(proposal)
        return Plan((*changes, FileChange(unfinished.path_of(root, module.name), None, state.to_bytes(), SECRET_MODE)))
    return Plan((*changes, *recorded(module, proposal.record, proposal.baseline)))


def _state(proposal: Proposal) -> Unfinished:
    changed = [file for file in proposal.files if file.before != file.after]
    return Unfinished(
        old={file.path: file.before.content if file.before else None for file in changed},
        executable=tuple(file.path for file in changed if file.before and file.before.executable),
        conflicts=proposal.conflicts,
        record=proposal.record or b"",
        baseline=proposal.baseline or b"",
        marker_sizes={file.path: file.marker_size for file in changed if file.marker_size != three_way.MARKER_SIZE},
    )
