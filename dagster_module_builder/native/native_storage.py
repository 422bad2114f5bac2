"""The storage of native runs, created once, and the lock of ``workspace.dev``."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from dagster_module_builder.base.errors import DamagedFileError, RefusedError, ToolError
from dagster_module_builder.native.native_environment import (
    make_private_folder,
    process_environment,
    process_folder,
)
from dagster_module_builder.native.native_folder import FOLDER, HOME, dev_url
from dagster_module_builder.programs import outside_programs
from dagster_module_builder.shared_files.formats import dagster_yaml
from dagster_module_builder.shared_files.formats.yaml_text import loaded

#: Opens each database of an instance, which creates the missing ones.
_CREATE = """\
from dagster import DagsterInstance
with DagsterInstance.get() as instance:
    instance.get_runs_count()
    instance.event_log_storage.all_asset_keys()
    instance.all_instigator_state()
"""
_MARKER = ".storage-made"
_FILES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")


@contextmanager
def only_one(root: Path) -> Iterator[None]:
    """Hold the workspace's lock of native Dagster, which the system releases when the process ends.

    Raises:
        RefusedError: Another process holds it.
    """
    lock = FileLock(make_private_folder(root) / ".dev.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        where = f" at {url}" if (url := dev_url(root)) else ", but not ready yet"
        raise RefusedError(
            f"This workspace's Dagster is already running{where}. Stop it with Ctrl-C in its terminal."
        ) from None
    try:
        yield
    finally:
        lock.release()


def make_storage(root: Path, python: Path) -> None:
    """Create the databases of native runs if they are missing, under a lock: two simultaneous starts would create both.

    Args:
        root: The workspace's root.
        python: The interpreter of an environment that has Dagster.

    Raises:
        DamagedFileError: The instance's ``dagster.yaml`` is not a mapping.
        ToolError: A database is damaged, or could not be created.
    """
    marker = root / HOME / _MARKER
    with FileLock(root / FOLDER / ".storage.lock"):
        _refuse_damaged(root)
        if marker.exists() and all((root / HOME / name).is_file() for name in _FILES):
            return
        outside_programs.ask(
            [python, "-c", _CREATE],
            named="Creating the storage of native runs",
            folder=process_folder(root),
            environ=process_environment(root),
        )
        marker.touch()


def _refuse_damaged(root: Path) -> None:
    home = root / HOME
    _refuse_broken(home / dagster_yaml.NAME)
    for file in (home / name for name in _FILES):
        if file.exists() and (damage := _damage(file)):
            raise ToolError(
                f"{file} is damaged: {damage}. It has the history of native runs, not their outputs. Move it away, and "
                f"a new one is created:\n  mv {home} {home}.damaged"
            )


def _refuse_broken(file: Path) -> None:
    """Refuse settings that Dagster cannot read, for which it would print a traceback in each of its processes."""
    way_out = "Fix it, or delete it, and a new one is created."
    content = loaded(file, file.read_bytes(), way_out) if file.is_file() else None
    if content is not None and not isinstance(content, dict):
        raise DamagedFileError(file, None, "this is not a mapping", way_out)


def _damage(file: Path) -> str | None:
    if not file.is_file():
        return "it is not a file"
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
            heads = connection.execute("SELECT count(*) FROM alembic_version").fetchone()[0]
    except sqlite3.OperationalError as error:
        # Without this table the database is still empty.
        return None if "no such table" in str(error) else str(error)
    except sqlite3.DatabaseError as error:
        return str(error)
    return f"its tables were created twice (it has {heads} versions)" if heads > 1 else None
