"""The upgrade of a module: read, merge, commit; and its end where there were conflicts."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dagster_module_builder import baseline, settings
from dagster_module_builder.baseline import Held, Tree
from dagster_module_builder.errors import DamagedFileError, NoModuleError, RefusedError
from dagster_module_builder.module import RECORD, record_of
from dagster_module_builder.plan import SECRET_MODE, FileChange, Plan
from dagster_module_builder.transaction import commit, locked
from dagster_module_builder.upgrade import pieces, three_way, unfinished
from dagster_module_builder.upgrade.rendering import Rendering, rendering
from dagster_module_builder.upgrade.three_way import Merged, Versions
from dagster_module_builder.upgrade.unfinished import Unfinished
from dagster_module_builder.version_control import git, top


@dataclass(frozen=True)
class Outcome:
    """What an upgrade did, or, with ``dry_run``, would do.

    Attributes:
        module: The module's folder.
        plan: The files that change.
        conflicts: The files that a person has to look at.
        notes: What a person has to know.
        backup: The backup's id.
        dry_run: Whether nothing was changed.
    """

    module: Path
    plan: Plan
    conflicts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    backup: str | None = None
    dry_run: bool = False

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.plan.effective)

    @property
    def gives_something_else(self) -> bool:
        """Whether a fragment for the workspace changes."""
        return any(change.path.is_relative_to(self.module / settings.FRAGMENTS) for change in self.plan.effective)


@dataclass(frozen=True)
class _Proposal:
    """What becomes of the module's files, and what it records in the end."""

    merged: Sequence[Merged]
    record: bytes | None = None
    kept: bytes | None = None
    notes: tuple[str, ...] = ()

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
    return [name for name in names if unfinished.place(root, name).is_file()]


def upgrade(
    root: Path,
    name: str,
    *,
    dry_run: bool = False,
    allow_dirty: bool = False,
    from_template: Path | None = None,
) -> Outcome:
    """Bring a module up to date.

    Args:
        root: The workspace's root.
        name: The module's name.
        dry_run: Change nothing.
        allow_dirty: Go on although git has changes that are not committed.
        from_template: The template that the module was made from, where no baseline is kept with the module.

    Raises:
        RefusedError: An upgrade is unfinished, or the git tree is dirty. Nothing was changed.
    """
    with locked(root) as recovered:
        module = locate(root, name)
        if unfinished.read(root, module.name):
            raise RefusedError(
                f"An upgrade of {module.name!r} is not finished: resolve its conflicts, then run "
                f"'upgrade {module.name} --continue'; or give everything back with 'upgrade {module.name} --abort'."
            )
        if not (dry_run or allow_dirty):
            _refuse_dirty(module)
        proposal = _proposal(root, module, from_template)
        plan = _plan(root, module, proposal)
        notes = (*recovered, *proposal.notes, *(one.note for one in proposal.merged if one.note))
        backup = None if dry_run else _carry_out(root, module, plan)
        return Outcome(module, plan, proposal.conflicts, notes, backup, dry_run)


def _refuse_dirty(module: Path) -> None:
    if top(module) is None:
        return
    changed = git(module, "status", "--porcelain", "--untracked-files=all", "--", ".")
    if changed:
        first = ", ".join(line[3:] for line in changed.splitlines()[:3])
        raise RefusedError(
            f"{module} has changes that are not committed ({first}): commit them, so that git shows what the upgrade "
            f"changes, or give --allow-dirty."
        )


def _proposal(root: Path, module: Path, from_template: Path | None) -> _Proposal:
    record = record_of(module)
    answers = record.get("answers")
    if not isinstance(answers, dict):
        found = pieces.missing(root, module)
        return _Proposal(found.merged, notes=found.notes)
    today = rendering(root, answers)
    old = str(record.get("template_version"))
    base = _base(root, module, today, old, from_template)
    if base is None:
        found = pieces.missing(root, module)
        note = (
            f"No baseline is kept with {module.name}, which was made from template {old}: only what is missing was "
            f"looked for. Give --from-template with a checkout of that template to merge its changes."
        )
        return _Proposal(found.merged, notes=(note, *found.notes))
    mine = _mine(module, {*base, *today.tree})
    merged = [_filled(one) for one in three_way.merge(base, mine, today.tree, Versions(old, today.version))]
    return _Proposal(merged, today.record, baseline.packed(today.tree), today.notes)


def _base(root: Path, module: Path, today: Rendering, old: str, from_template: Path | None) -> Tree | None:
    kept = module / baseline.FILE
    if kept.is_file():
        try:
            return baseline.unpacked(kept.read_bytes())
        except ValueError:
            raise DamagedFileError(kept, None, "this baseline is damaged", "Take it from git.") from None
    if from_template:
        return rendering(root, record_of(module)["answers"], from_template.absolute()).tree
    return today.tree if old == today.version else None


def _mine(module: Path, paths: Iterable[str]) -> dict[str, Held]:
    found: dict[str, Held] = {}
    for name in paths:
        path = module / name
        if path.is_symlink() or path.is_dir():
            raise RefusedError(f"{path} is no plain file, as the template's is: put a file in its place first.")
        if path.is_file():
            found[name] = baseline.held(path)
    return found


def _filled(one: Merged) -> Merged:
    """Make the secrets that are new."""
    if one.after is None or not one.path.endswith("/.env"):
        return one
    content = one.after.content
    for placeholder in three_way.placeholders(content):
        content = content.replace(placeholder, secrets.token_urlsafe(24).encode())
    return replace(one, after=Held(content, one.after.executable))


def _plan(root: Path, module: Path, proposal: _Proposal) -> Plan:
    changes = [_change(module, one) for one in proposal.merged]
    if proposal.conflicts:
        state = _state(proposal)
        return Plan((*changes, FileChange(unfinished.place(root, module.name), None, state.to_bytes(), SECRET_MODE)))
    return Plan((*changes, *_recorded(module, proposal.record, proposal.kept)))


def _change(module: Path, one: Merged) -> FileChange:
    before = one.before.content if one.before else None
    after = one.after.content if one.after else None
    return _file_change(module / one.path, before, after, executable=bool(one.after and one.after.executable))


def _file_change(path: Path, before: bytes | None, after: bytes | None, *, executable: bool) -> FileChange:
    """Return a change after which a file can be executed or not, whether it is made or stays."""
    made = SECRET_MODE if path.name == ".env" else 0o755 if executable else 0o644
    stays = before is not None and after is not None
    return FileChange(path, before, after, made, _chmod(path, executable=executable) if stays else None)


def _chmod(path: Path, *, executable: bool) -> tuple[int, int] | None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if bool(mode & stat.S_IXUSR) == executable:
        return None
    return mode, mode | (mode & 0o444) >> 2 if executable else mode & ~0o111


def _recorded(module: Path, record: bytes | None, kept: bytes | None) -> list[FileChange]:
    new = {baseline.FILE: kept, Path(RECORD): record}
    return [FileChange(module / path, _read(module / path), data) for path, data in new.items() if data is not None]


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


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


def _carry_out(root: Path, module: Path, plan: Plan) -> str | None:
    # Folders come first: they are harmless if a crash follows, and the next upgrade finds them there.
    made: list[Path] = []
    try:
        made = _make_folders(plan)
        return commit(root, plan)
    finally:
        _remove_empty(module, [*made, *(change.path.parent for change in plan.effective if change.after is None)])


def _make_folders(plan: Plan) -> list[Path]:
    made = []
    for change in plan.effective:
        missing = [folder for folder in (change.path.parent, *change.path.parents) if not folder.exists()]
        change.path.parent.mkdir(
            mode=0o700 if change.path.parent.name == "backups" else 0o755, parents=True, exist_ok=True
        )
        made += missing
    return made


def _remove_empty(module: Path, folders: Iterable[Path]) -> None:
    for folder in folders:
        while folder != module and folder.is_relative_to(module):
            with contextlib.suppress(OSError):
                folder.rmdir()
            folder = folder.parent  # noqa: PLW2901 - upwards, as far as they are empty


def finish(root: Path, name: str, *, keep_mine: bool = False) -> Outcome:
    """End an upgrade whose conflicts are resolved: only now does the module record the new version.

    Args:
        root: The workspace's root.
        name: The module's name.
        keep_mine: Go on although files are as they were before the upgrade: the template's changes to them are lost.

    Raises:
        RefusedError: There is none, a file still has a marker, or files are as they were before the upgrade.
    """
    with locked(root) as recovered:
        module = locate(root, name)
        data, state = _needed(root, module)
        left = [place for path in state.conflicts for place in _left(module, path, state)]
        if left:
            raise RefusedError("There are conflicts left:\n" + "\n".join(f"- {place}" for place in left))
        if not keep_mine:
            _refuse_undone(module, state)
        ended = FileChange(unfinished.place(root, module.name), data, None)
        plan = Plan((*_recorded(module, state.record, state.baseline), ended))
        return Outcome(module, plan, notes=tuple(recovered), backup=_carry_out(root, module, plan))


def _needed(root: Path, module: Path) -> tuple[bytes, Unfinished]:
    found = unfinished.read(root, module.name)
    if found is None:
        raise RefusedError(f"No upgrade of {module.name!r} is under way.")
    return found


def _left(module: Path, path: str, state: Unfinished) -> list[str]:
    """Return the places of a file's markers, or the file that lies beside the one that could not be merged."""
    if path.endswith(three_way.BESIDE):
        return [str(module / path)] if (module / path).exists() else []
    size = state.marker_sizes.get(path, three_way.MARKER_SIZE)
    lines = (_read(module / path) or b"").split(b"\n")
    return [f"{module / path}:{number}" for number, line in enumerate(lines, 1) if three_way.has_markers(line, size)]


def _refuse_undone(module: Path, state: Unfinished) -> None:
    """Refuse files that are as they were before the upgrade: recorded as taken, their changes would never come again.

    What ``git checkout -- .`` does cannot be told from a conflict that was resolved for the person's side.
    """
    undone = [
        path for path in sorted(state.old) if not path.endswith(three_way.BESIDE) and _is_undone(module, path, state)
    ]
    if undone:
        raise RefusedError(
            f"These files of {module.name!r} are as they were before the upgrade, without the template's changes:\n"
            + "\n".join(f"- {module / path}" for path in undone)
            + f"\nRun 'upgrade {module.name} --abort' and upgrade again to get the changes, or "
            f"'upgrade {module.name} --continue --keep-mine' to do without them."
        )


def _is_undone(module: Path, path: str, state: Unfinished) -> bool:
    before = state.old[path]
    if before is None or not (module / path).is_file():
        return before is None and not (module / path).exists()
    return baseline.held(module / path) == Held(before, path in state.executable)


def abort(root: Path, name: str) -> Outcome:
    """Give back every byte that an unfinished upgrade changed.

    Raises:
        RefusedError: There is none.
    """
    with locked(root) as recovered:
        module = locate(root, name)
        data, state = _needed(root, module)
        changes = [
            _file_change(module / path, _read(module / path), old, executable=path in state.executable)
            for path, old in state.old.items()
        ]
        plan = Plan((*changes, FileChange(unfinished.place(root, module.name), data, None)))
        return Outcome(module, plan, notes=tuple(recovered), backup=_carry_out(root, module, plan))
