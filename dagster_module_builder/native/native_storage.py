"""The storage of native runs, made once by one process, and the lock of the one ``workspace.dev`` that runs on it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import DamagedFileError, RefusedError, ToolError
from dagster_module_builder.native.native_environment import (
    FOLDER,
    HOME,
    dev_url,
    make_private_folder,
    process_environment,
)
from dagster_module_builder.programs import outside_programs
from dagster_module_builder.shared_files.formats import dagster_yaml
from dagster_module_builder.shared_files.formats.yaml_text import loaded

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
    lock = FileLock(make_private_folder(root) / ".dev.lock", timeout=0)
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
        DamagedFileError: The instance's ``dagster.yaml`` is no mapping.
        ToolError: A table file is damaged, or could not be made.
    """
    made = root / HOME / _MADE
    with FileLock(root / FOLDER / ".storage.lock"):
        _refuse_damaged(root)
        if made.exists() and all((root / HOME / name).is_file() for name in _FILES):
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
    _refuse_broken(home / dagster_yaml.NAME)
    for file in (home / name for name in _FILES):
        if file.exists() and (found := _damage(file)):
            raise ToolError(
                f"{file} is damaged: {found}. It holds the history of native runs, not what they stored. Move it away, "
                f"and it is made again:\n  mv {home} {home}.damaged"
            )


def _refuse_broken(file: Path) -> None:
    """Refuse settings that Dagster cannot read: it would say so in a traceback of its own, of whatever it starts."""
    way_out = "Fix it, or remove it: then it is made again."
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
        # Without the table: nothing was made in it yet.
        return None if "no such table" in str(error) else str(error)
    except sqlite3.DatabaseError as error:
        return str(error)
    return f"its tables were made twice ({heads} versions are noted)" if heads > 1 else None
