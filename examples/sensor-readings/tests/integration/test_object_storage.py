"""The assets on object storage: the gateway's files and the partitions are objects of S3."""

from collections.abc import Iterator

import dagster as dg
import pytest
from conftest import ROWS, write_day
from s3_server import serving
from s3fs import S3FileSystem

from sensor_readings_dagster.assets import ASSETS, hourly
from sensor_readings_dagster.checks import CHECKS
from sensor_readings_dagster.source import Source
from sensor_readings_dagster.storage import STORAGE_VARIABLE, ModuleStorage

DAYS = ("2026-03-02", "2026-03-03")
SOURCE = Source(url="s3://sensors/gateway")
HOURLY = "sensors/stored/sensor_readings/hourly"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3FileSystem]:
    """The bucket ``sensors``, with the files of two days."""
    with serving() as variables:
        for name, value in {**variables, STORAGE_VARIABLE: "s3://sensors/stored"}.items():
            monkeypatch.setenv(name, value)
        files = S3FileSystem()
        files.mkdir("sensors")
        for day in DAYS:
            write_day(SOURCE, day, *(row.replace(DAYS[0], day) for row in ROWS))
        yield files


def materialize(day: str) -> dg.ExecuteInProcessResult:
    resources = {"io_manager": ModuleStorage(), "source": SOURCE}
    return dg.materialize([*ASSETS, *CHECKS], resources=resources, partition_key=day)


def test_a_day_is_backfilled_and_the_other_days_stay(s3: S3FileSystem):
    for day in DAYS:
        materialize(day)
    stored = {day: s3.cat(f"{HOURLY}/{day}.data") for day in DAYS}

    write_day(SOURCE, DAYS[0], f"roof,{DAYS[0]}T08:00:00,2.5")
    result = materialize(DAYS[0])

    assert result.output_for_node(hourly.node_def.name)["celsius"].tolist() == [2.5]
    assert s3.cat(f"{HOURLY}/{DAYS[0]}.data") != stored[DAYS[0]]
    assert s3.cat(f"{HOURLY}/{DAYS[1]}.data") == stored[DAYS[1]]
