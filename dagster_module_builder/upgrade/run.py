"""The upgrade of a module: propose, plan, commit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import NoModuleError, RefusedError
from dagster_module_builder.modules import unfinished
from dagster_module_builder.modules.unfinished import Unfinished
from dagster_module_builder.programs.version_control import find, uncommitted
from dagster_module_builder.transactions.plan import SECRET_MODE, FileChange, Plan
from dagster_module_builder.transactions.reading import under_lock
from dagster_module_builder.upgrade import three_way
from dagster_module_builder.upgrade.changes import carry_out, change, recorded
from dagster_module_builder.upgrade.proposal import Proposal, propose
from dagster_module_builder.upgrade.rendering import Prepared


@dataclass(frozen=True)
class UpgradeResult:
    """What an upgrade changed, or would change with ``dry_run``.

    Attributes:
        module: The module's folder.
        plan: The changed files.
        conflicts: The files with conflicts to resolve.
        notes: Messages about the upgrade.
        backup: The backup's id.
        dry_run: Whether nothing was changed.
        behind: Why the module is not up to date even after the upgrade; empty if it is.
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
        """Whether a file changes."""
        return bool(self.plan.effective)

    @property
    def changes_fragments(self) -> bool:
        """Whether a workspace fragment changes."""
        return any(change.path.is_relative_to(self.module / settings.FRAGMENTS) for change in self.plan.effective)


def locate(root: Path, name: str) -> Path:
    """Return the folder of a module in ``projects/``; it need not come from the template.

    Raises:
        NoModuleError: There is no such module.
        RefusedError: It is outside ``projects/``, where the workspace's lock does not protect it.
    """
    projects = root / settings.PROJECTS
    path = Path(name).absolute() if os.sep in name else projects / name
    if not path.is_dir():
        raise NoModuleError(path.name, path.parent)
    if path.resolve().parent != projects.resolve():
        raise RefusedError(f"{path} lies outside {projects}. Move it there with 'workspace.add {path} --move'.")
    return projects / path.name


def waiting(root: Path) -> list[str]:
    """Return the names of the modules with an unfinished upgrade."""
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
    """Upgrade a module to the current template, or add what it lacks.

    Args:
        root: The workspace's root.
        name: The module's name.
        dry_run: Change nothing.
        allow_dirty: Upgrade despite uncommitted changes in git.
        from_template: The template that the module was created from, if it has no baseline.
        answers: Answers that replace recorded ones.
        prepared: A rendering made in advance; used if it was made from the current record.

    Raises:
        RefusedError: An upgrade is unfinished, git has uncommitted changes, or it would be a downgrade. Nothing
            was changed.
        DamagedFileError: The module's record or baseline cannot be used.
    """

    def work(recovered: list[str]) -> UpgradeResult:
        module = locate(root, name)
        if unfinished.read(root, module.name):
            raise RefusedError(
                f"An upgrade of {module.name!r} is not finished. Resolve its conflicts and run "
                f"'upgrade {module.name} --continue', or undo it with 'upgrade {module.name} --abort'."
            )
        proposal = propose(root, module, from_template, answers or {}, prepared)
        plan = _plan(root, module, proposal)
        dirty = "" if allow_dirty or not plan.effective else _uncommitted(module)
        if dirty and not dry_run:
            raise RefusedError(dirty)
        notes = [*recovered, *proposal.notes, *(file.note for file in proposal.files if file.note)]
        notes += [f"The upgrade would be refused: {dirty}"] if dirty else []
        backup = None if dry_run else carry_out(root, module, plan)
        return UpgradeResult(module, plan, proposal.conflicts, tuple(notes), backup, dry_run, proposal.behind)

    return under_lock(root, work, changes=not dry_run)


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
