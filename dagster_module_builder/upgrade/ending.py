"""Finish or abort an upgrade that had conflicts."""

from __future__ import annotations

from pathlib import Path

from dagster_module_builder.base.baseline import FileContent
from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.modules import unfinished
from dagster_module_builder.modules.unfinished import Unfinished
from dagster_module_builder.transactions import module_files
from dagster_module_builder.transactions.lock import locked
from dagster_module_builder.transactions.plan import FileChange, Plan
from dagster_module_builder.upgrade import three_way
from dagster_module_builder.upgrade.changes import carry_out, file_change, read_content, recorded
from dagster_module_builder.upgrade.proof import Loader
from dagster_module_builder.upgrade.result import UpgradeResult
from dagster_module_builder.upgrade.run import locate


def finish(root: Path, name: str, *, keep_mine: bool = False, loader: Loader | None = None) -> UpgradeResult:
    """Finish an upgrade whose conflicts are resolved; only now the module records the new version.

    Args:
        root: The workspace's root.
        name: The module's name.
        keep_mine: Accept files that are as before the upgrade; the template's changes to them are lost.
        loader: Loads the module's definitions; None to load nothing.

    Raises:
        RefusedError: No upgrade is unfinished, a file still has a marker, files are as before the upgrade, or the
            definitions do not load.
    """
    with locked(root):
        module = locate(root, name)
        data, state = _needed(root, module)
        remaining = [marker for path in state.conflicts for marker in _remaining(module, path, state)]
        if remaining:
            raise RefusedError("There are conflicts left:\n" + "\n".join(f"- {marker}" for marker in remaining))
        if not keep_mine:
            _refuse_reverted(module, state)
        note = _loaded(module, loader) if loader else ""
        ended = FileChange(unfinished.path_of(root, module.name), data, None)
        plan = Plan((*recorded(module, state.record, state.baseline), ended))
        notes = (note,) if note else ()
        return UpgradeResult(module, plan, notes=notes, backup=carry_out(root, module, plan))


def _loaded(module: Path, loader: Loader) -> str:
    """Refuse resolved files with which the definitions do not load; return why that is not known."""
    if lacks := loader.lacks:
        return f"Not checked whether the definitions load: {lacks}."
    if problem := loader.before.problem:
        raise RefusedError(
            f"The definitions of {module.name!r} do not load: {problem}\nFix that, or undo the upgrade with "
            f"'upgrade {module.name} --abort'. 'upgrade {module.name} --continue --no-load' finishes it all the same."
        )
    return ""


def _needed(root: Path, module: Path) -> tuple[bytes, Unfinished]:
    state = unfinished.read(root, module.name)
    if state is None:
        raise RefusedError(f"No upgrade of {module.name!r} is unfinished.")
    return state


def _remaining(module: Path, path: str, state: Unfinished) -> list[str]:
    """Return the positions of a file's markers (``README.md:7``), or the ``.template-new`` file that still exists."""
    if path.endswith(three_way.BESIDE):
        return [str(module / path)] if (module / path).exists() else []
    size = state.marker_sizes.get(path, three_way.MARKER_SIZE)
    lines = (module_files.read(module, module / path) or b"").split(b"\n")
    return [f"{module / path}:{number}" for number, line in enumerate(lines, 1) if three_way.has_markers(line, size)]


def _refuse_reverted(module: Path, state: Unfinished) -> None:
    """Refuse files that are as before the upgrade: once recorded, the template's changes would never be offered again.

    ``git checkout -- .`` has the same effect as resolving every conflict with one's own lines.
    """
    reverted = [
        path for path in sorted(state.old) if not path.endswith(three_way.BESIDE) and _is_reverted(module, path, state)
    ]
    if reverted:
        raise RefusedError(
            f"These files of {module.name!r} are as they were before the upgrade, without the template's changes:\n"
            + "\n".join(f"- {module / path}" for path in reverted)
            + f"\nRun 'upgrade {module.name} --abort' and upgrade again to get the changes, or "
            f"'upgrade {module.name} --continue --keep-mine' to do without them."
        )


def _is_reverted(module: Path, path: str, state: Unfinished) -> bool:
    before = state.old[path]
    if before is None or not (module / path).is_file():
        return before is None and not (module / path).exists()
    return read_content(module, module / path) == FileContent(before, path in state.executable)


def abort(root: Path, name: str) -> UpgradeResult:
    """Restore every file that an unfinished upgrade changed.

    Raises:
        RefusedError: No upgrade is unfinished.
    """
    with locked(root):
        module = locate(root, name)
        data, state = _needed(root, module)
        changes = [
            file_change(
                module, path, module_files.read(module, module / path), old, executable=path in state.executable
            )
            for path, old in state.old.items()
        ]
        plan = Plan((*changes, FileChange(unfinished.path_of(root, module.name), data, None)))
        return UpgradeResult(module, plan, backup=carry_out(root, module, plan))
