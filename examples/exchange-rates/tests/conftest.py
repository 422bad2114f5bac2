"""Fixtures: temporary storage, a temporary database and an API of this machine, so that tests never touch the workspace's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_server import ApiServer, serving

from exchange_rates_dagster.api import RatesApi
from exchange_rates_dagster.database import Database
from exchange_rates_dagster.storage import STORAGE_VARIABLE, ModuleStorage


@pytest.fixture(autouse=True)
def storage_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "storage"
    monkeypatch.setenv(STORAGE_VARIABLE, str(folder))
    return folder


@pytest.fixture
def api_server() -> Iterator[ApiServer]:
    with serving() as server:
        yield server


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """SQLite stands in for the server: the module's own code is the same for both."""
    return Database(url=f"sqlite:///{tmp_path}/database.sqlite")


@pytest.fixture
def resources(api_server: ApiServer, database: Database) -> dict[str, Any]:
    return {"io_manager": ModuleStorage(), "api": RatesApi(url=api_server.url), "database": database}
