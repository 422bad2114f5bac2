"""The changes of a module's files, and how they are carried out."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterable
from pathlib import Path

from dagster_module_builder.base import baseline
from dagster_module_builder.base.baseline import FileContent
from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.modules.module import RECORD
from dagster_module_builder.transactions import module_files
from dagster_module_builder.transactions.plan import SECRET_MODE, FileChange, Plan
from dagster_module_builder.transactions.transaction import commit
from dagster_module_builder.upgrade import three_way
from dagster_module_builder.upgrade.three_way import Merged


def confined(module: Path, name: str) -> Path:
    """Return a file of a module by its path there, which no link leads out of.

    Raises:
        RefusedError: It is no plain file, or a folder on the way to it is none.
    """
    path = module
    for part in Path(name).parts:
        path /= part
        is_last = path == module / name
        if path.is_symlink() or (path.is_dir() if is_last else path.exists() and not path.is_dir()):
            what = "no plain file, as the template's is" if is_last else "no plain folder, as the template's is"
            raise RefusedError(f"{path} is {what}: put one in its place first.")
    return path


def change(module: Path, one: Merged) -> FileChange:
    """Return the change of a file that was merged."""
    before = one.before.content if one.before else None
    after = one.after.content if one.after else None
    return file_change(module, one.path, before, after, executable=bool(one.after and one.after.executable))


def file_change(module: Path, name: str, before: bytes | None, after: bytes | None, *, executable: bool) -> FileChange:
    """Return a change after which a file can be executed or not, whether it is made or stays."""
    path = confined(module, name)
    made = SECRET_MODE if three_way.is_private(path.name) else 0o755 if executable else 0o644
    stays = before is not None and after is not None
    return FileChange(path, before, after, made, _chmod(path, executable=executable) if stays else None)


def _chmod(path: Path, *, executable: bool) -> tuple[int, int] | None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if bool(mode & stat.S_IXUSR) == executable:
        return None
    return mode, mode | (mode & 0o444) >> 2 if executable else mode & ~0o111


def held(module: Path, path: Path) -> FileContent:
    """Read one file of a module.

    Raises:
        NotPlainError: A link leads out of the module, or it is no plain file.
    """
    return FileContent(module_files.read(module, path) or b"", bool(path.stat().st_mode & stat.S_IXUSR))


def recorded(module: Path, record: bytes | None, kept: bytes | None) -> list[FileChange]:
    """Return the changes of what a module records: the answers, and what the template made of them."""
    new = {baseline.FILE: kept, Path(RECORD): record}
    before = {path: module_files.read(module, module / path) for path in new}
    return [FileChange(module / path, before[path], data) for path, data in new.items() if data is not None]


def carry_out(root: Path, module: Path, plan: Plan) -> str | None:
    """Carry a plan out, under the lock, with the folders that come and go; return the backup's id."""
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
