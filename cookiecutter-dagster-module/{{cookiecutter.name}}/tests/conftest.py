"""Fixtures: temporary storage and a temporary database, so that tests never touch the workspace's."""

from pathlib import Path
from typing import Any

import pytest

{% if cookiecutter.database != 'none' %}
from {{ cookiecutter.__package }}.database import Database
{% endif %}
from {{ cookiecutter.__package }}.storage import STORAGE_VARIABLE, ModuleStorage


@pytest.fixture(autouse=True)
def storage_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "storage"
    monkeypatch.setenv(STORAGE_VARIABLE, str(folder))
    return folder


{% if cookiecutter.__server %}
@pytest.fixture
def database(tmp_path: Path) -> Database:
    """SQLite stands in for the server: the module's own code is the same for both."""
    return Database(url=f"sqlite:///{tmp_path}/database.sqlite")


@pytest.fixture
def resources(database: Database) -> dict[str, Any]:
    return {"io_manager": ModuleStorage(), "database": database}
{% elif cookiecutter.database == 'duckdb' %}
@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(path=str(tmp_path / "database.duckdb"))


@pytest.fixture
def resources(database: Database) -> dict[str, Any]:
    return {"io_manager": ModuleStorage(), "database": database}
{% else %}
@pytest.fixture
def resources() -> dict[str, Any]:
    return {"io_manager": ModuleStorage()}
{% endif %}
