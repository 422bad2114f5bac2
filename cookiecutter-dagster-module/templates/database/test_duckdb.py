import multiprocessing
import os
import sys
from pathlib import Path

import pandas as pd
import pytest

from {{ cookiecutter.__package }} import NAME
from {{ cookiecutter.__package }}.database import PATH_VARIABLE, Database, DatabaseError
from {{ cookiecutter.__package }}.storage import STORAGE_VARIABLE

PROCESSES = 8
ROUNDS = 5


def add_rows(path: str) -> None:
    for _ in range(ROUNDS):
        with Database(path=path).begin() as connection:
            connection.execute("INSERT INTO counts VALUES (1)")


def test_the_rows_are_replaced(database: Database):
    database.replace_rows("numbers", pd.DataFrame({"number": [1, 2]}))
    database.replace_rows("numbers", pd.DataFrame({"number": [3]}))

    with database.begin() as connection:
        assert connection.execute("SELECT number FROM numbers").fetchall() == [(3,)]


def test_a_failure_rolls_back(database: Database):
    database.replace_rows("numbers", pd.DataFrame({"number": [1]}))

    with pytest.raises(RuntimeError), database.begin() as connection:
        connection.execute("DELETE FROM numbers")
        raise RuntimeError
    with database.begin() as connection:
        assert connection.execute("SELECT number FROM numbers").fetchall() == [(1,)]


def test_eight_processes_write_without_losing_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = str(tmp_path / "shared.duckdb")
    with Database(path=path).begin() as connection:
        connection.execute("CREATE TABLE counts (one INTEGER)")

    # A fork server imports the module once: eight imports of Dagster would take half a minute.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([Database.__module__])
    with context.Pool(PROCESSES) as pool:
        pool.map(add_rows, [path] * PROCESSES)

    with Database(path=path).begin() as connection:
        assert connection.execute("SELECT count(*) FROM counts").fetchone() == (PROCESSES * ROUNDS,)


def test_a_file_in_use_is_not_waited_for_without_end(database: Database):
    impatient = Database(path=database.path, timeout=0.2)

    with database.begin(), pytest.raises(DatabaseError, match="is in use"), impatient.begin():
        pass


def test_the_file_stands_beside_the_stored_assets(storage_dir: Path):
    with Database().begin():
        pass

    assert (storage_dir / NAME / f"{NAME}.duckdb").is_file()


def test_object_storage_needs_an_explicit_path(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(STORAGE_VARIABLE, "s3://bucket/folder")

    with pytest.raises(DatabaseError, match=PATH_VARIABLE), Database().begin():
        pass
