"""The module's DuckDB database, a file next to its stored assets.

DuckDB lets only one process open a file, even for reading, so connections are short and take a lock.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import duckdb
import pandas as pd
from filelock import FileLock, Timeout

from . import NAME
from .storage import STORAGE_VARIABLE, storage_root

PATH_VARIABLE = "{{ cookiecutter.__env }}_DB_PATH"


class DatabaseError(dg.Failure):
    """The database cannot be opened; a wrong path is not retried."""


class Database(dg.ConfigurableResource["Database"]):
    """Opens the database file, one process at a time.

    ``path`` overrides the default; ``timeout`` is how many seconds to wait for other processes.
    """

    path: str | None = None
    timeout: float = 60.0

    @contextmanager
    def begin(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open a transaction: committed at the end, rolled back when anything fails. Keep it short: others wait.

        Raises:
            DatabaseError: Another process has the file open for too long, or the file cannot be written.
        """
        file = self._file()
        with self._lock(file), duckdb.connect(file) as connection:
            connection.begin()
            yield connection
            connection.commit()

    def replace_rows(self, name: str, rows: pd.DataFrame) -> None:
        """Replace the table ``name`` with these rows and columns in one transaction."""
        with self.begin() as connection:
            connection.register("new_rows", rows)
            connection.execute(f'CREATE OR REPLACE TABLE "{name}" AS SELECT * FROM new_rows')

    def _file(self) -> Path:
        file = Path(self.path or os.environ.get(PATH_VARIABLE) or _default_path())
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(f"make {file.parent}: {error}") from error
        return file

    @contextmanager
    def _lock(self, file: Path) -> Iterator[None]:
        lock = FileLock(f"{file}.lock")
        try:
            lock.acquire(timeout=self.timeout)
        except Timeout as error:
            raise DatabaseError(
                f"{file} is in use by another process; gave up after {self.timeout:g} seconds. "
                "Wait for the other run to end, or set a longer timeout on the resource."
            ) from error
        except OSError as error:
            raise _unusable(f"write {file}: {error}") from error
        try:
            yield
        finally:
            lock.release()


def _unusable(what: str) -> DatabaseError:
    return DatabaseError(f"Cannot {what}. Set {PATH_VARIABLE} to another file.", allow_retries=False)


def _default_path() -> str:
    root = storage_root()
    if "://" in root:
        message = f"DuckDB needs a local file, but {STORAGE_VARIABLE} is {root}. Set {PATH_VARIABLE} to a file."
        raise DatabaseError(message, allow_retries=False)
    return f"{root}/{NAME}/{NAME}.duckdb"
