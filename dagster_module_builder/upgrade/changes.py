"""Changes to a module's files, and committing them."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from dagster_module_builder.base import baseline
from dagster_module_builder.base.baseline import FileContent
from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.modules.module import RECORD
from dagster_module_builder.transactions import module_files
from dagster_module_builder.transactions.plan import SECRET_MODE, FileChange, Plan
from dagster_module_builder.transactions.transaction import commit
from dagster_module_builder.upgrade import three_way
from dagster_module_builder.upgrade.three_way import UpgradedFile


def confined(module: Path, name: str) -> Path:
    """Return the path of a module's file, which no link leads out of the module.

    Raises:
        RefusedError: It is not a regular file, or a parent is not a folder.
    """
    path = module
    for part in Path(name).parts:
        path /= part
        is_last = path == module / name
        if path.is_symlink() or (path.is_dir() if is_last else path.exists() and not path.is_dir()):
            expected = "a regular file" if is_last else "a folder"
            raise RefusedError(f"{path} is not {expected}, as in the template. Replace it with {expected} first.")
    return path


def change(module: Path, file: UpgradedFile) -> FileChange:
    """Return the change that writes an upgraded file."""
    before = file.before.content if file.before else None
    after = file.after.content if file.after else None
    return file_change(module, file.path, before, after, executable=bool(file.after and file.after.executable))


def file_change(module: Path, name: str, before: bytes | None, after: bytes | None, *, executable: bool) -> FileChange:
    """Return a file's change; afterwards the file is executable or not, whether it is new or not."""
    path = confined(module, name)
    mode = SECRET_MODE if three_way.is_private(path.name) else 0o755 if executable else 0o644
    stays = before is not None and after is not None
    return FileChange(path, before, after, mode, _chmod(path, executable=executable) if stays else None)


def _chmod(path: Path, *, executable: bool) -> tuple[int, int] | None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if bool(mode & stat.S_IXUSR) == executable:
        return None
    return mode, mode | (mode & 0o444) >> 2 if executable else mode & ~0o111


def read_content(module: Path, path: Path) -> FileContent:
    """Return a file's content and whether it is executable.

    Raises:
        NotPlainError: A link leads out of the module, or it is not a regular file.
    """
    return FileContent(module_files.read(module, path) or b"", bool(path.stat().st_mode & stat.S_IXUSR))


def recorded(module: Path, record: bytes | None, new_baseline: bytes | None) -> list[FileChange]:
    """Return the changes of a module's record (version and answers) and its baseline."""
    new = {baseline.FILE: new_baseline, Path(RECORD): record}
    before = {path: module_files.read(module, module / path) for path in new}
    return [FileChange(module / path, before[path], data) for path, data in new.items() if data is not None]


def carry_out(root: Path, module: Path, plan: Plan, proof: Callable[[], None] | None = None) -> str | None:
    """Commit a plan under the lock, create and remove folders as needed; return the backup's id.

    What the proof raises takes everything back (``transactions.transaction.commit``).
    """
    # Create folders first: after a crash empty folders do no harm, and the next upgrade uses them.
    created: list[Path] = []
    try:
        created = _make_folders(plan)
        return commit(root, plan, proof)
    finally:
        _remove_empty(module, [*created, *(change.path.parent for change in plan.effective if change.after is None)])


def _make_folders(plan: Plan) -> list[Path]:
    created = []
    for change in plan.effective:
        missing = [folder for folder in (change.path.parent, *change.path.parents) if not folder.exists()]
        change.path.parent.mkdir(
            mode=0o700 if change.path.parent.name == "backups" else 0o755, parents=True, exist_ok=True
        )
        created += missing
    return created


def _remove_empty(module: Path, folders: Iterable[Path]) -> None:
    for folder in folders:
        while folder != module and folder.is_relative_to(module):
            with contextlib.suppress(OSError):
                folder.rmdir()
            folder = folder.parent  # noqa: PLW2901 - upwards, while they are empty
