"""The storage of native runs, made once by one process, and the lock of the one ``workspace.dev`` that runs on it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from dagster_module_builder import outside_programs, settings
from dagster_module_builder.errors import RefusedError, ToolError
from dagster_module_builder.native_environment import FOLDER, HOME, dev_url, process_environment

#: Opens each table file of an instance, which makes it where it is not there.
_MAKE = """\
from dagster import DagsterInstance
with DagsterInstance.get() as instance:
    instance.get_runs_count()
    instance.event_log_storage.all_asset_keys()
    instance.all_instigator_state()
"""
_MADE = ".storage-made"
_FILES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")


@contextmanager
def only_one(root: Path) -> Iterator[None]:
    """Hold the workspace's lock of native Dagster; it is free as soon as its holder has ended, however it did.

    Raises:
        RefusedError: Another process holds it.
    """
    (root / FOLDER).mkdir(exist_ok=True)
    lock = FileLock(root / FOLDER / ".dev.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        where = dev_url(root) or "an address that it will say when it is up"
        raise RefusedError(
            f"This workspace's Dagster runs already, at {where}. End it with Ctrl-C where it was started."
        ) from None
    try:
        yield
    finally:
        lock.release()


def make_storage(root: Path, python: Path) -> None:
    """Make the tables of native runs, unless they are there: two first starts at once would make them twice.

    Args:
        root: The workspace's root.
        python: The interpreter of an environment that has Dagster.

    Raises:
        ToolError: A table file is damaged, or could not be made.
    """
    made = root / HOME / _MADE
    with FileLock(root / FOLDER / ".storage.lock"):
        _refuse_damaged(root)
        if made.exists():
            return
        outside_programs.ask(
            [python, "-c", _MAKE],
            named="Making the storage of native runs",
            folder=root / settings.SERVICES,
            environ=process_environment(root),
        )
        made.touch()


def _refuse_damaged(root: Path) -> None:
    home = root / HOME
    for file in (home / name for name in _FILES):
        if file.is_file() and (found := _damage(file)):
            raise ToolError(
                f"{file} is damaged: {found}. It holds the history of native runs, not what they stored. Move it away, "
                f"and it is made again:\n  mv {home} {home}.damaged"
            )


def _damage(file: Path) -> str | None:
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
            heads = connection.execute("SELECT count(*) FROM alembic_version").fetchone()[0]
    except sqlite3.OperationalError:
        # Without the table: nothing was made in it yet.
        return None
    except sqlite3.DatabaseError as error:
        return str(error)
    return f"its tables were made twice ({heads} versions are noted)" if heads > 1 else None
