"""Fixtures: temporary storage and a temporary folder of readings, so that tests never touch the workspace's."""

from pathlib import Path
from typing import Any

import fsspec
import pytest

from sensor_readings_dagster.source import COLUMNS, Source
from sensor_readings_dagster.storage import STORAGE_VARIABLE, ModuleStorage

DAY = "2026-03-02"
ROWS = ["cellar,2026-03-02T00:10:00,11.0", "cellar,2026-03-02T00:40:00,12.0", "roof,2026-03-02T23:50:00,-4.5"]


@pytest.fixture(autouse=True)
def storage_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "storage"
    monkeypatch.setenv(STORAGE_VARIABLE, str(folder))
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """A folder with the file of one day."""
    source = Source(url=str(tmp_path))
    write_day(source, DAY, *ROWS)
    return source


def write_day(source: Source, day: str, *rows: str) -> None:
    with fsspec.open(f"{source.url}/{day}.csv", "w") as file:
        file.write("\n".join([",".join(COLUMNS), *rows, ""]))


@pytest.fixture
def resources(source: Source) -> dict[str, Any]:
    return {"io_manager": ModuleStorage(), "source": source}
