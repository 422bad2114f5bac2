from datetime import datetime, timezone
from typing import Any

import dagster as dg
import pytest
from conftest import DAY, ROWS, write_day

from sensor_readings_dagster import NAME
from sensor_readings_dagster.assets import ASSETS, hourly, readings
from sensor_readings_dagster.checks import CHECKS
from sensor_readings_dagster.definitions import defs
from sensor_readings_dagster.source import Source


def run(
    resources: dict[str, Any], day: str = DAY, instance: dg.DagsterInstance | None = None
) -> dg.ExecuteInProcessResult:
    assets = [*ASSETS, *CHECKS]
    return dg.materialize(assets, resources=resources, partition_key=day, instance=instance, raise_on_error=False)


def failed(result: dg.ExecuteInProcessResult) -> set[str]:
    return {check.check_name for check in result.get_asset_check_evaluations() if not check.passed}


def test_the_means_of_each_sensor_and_hour_are_stored(resources: dict[str, Any]):
    result = run(resources)

    assert result.success
    assert not failed(result)
    table = result.output_for_node(hourly.node_def.name)
    assert table[["sensor", "celsius", "readings"]].values.tolist() == [["cellar", 11.5, 2], ["roof", -4.5, 1]]


@pytest.mark.parametrize("reading", [f"{DAY}T12:00:00,85.5", f"{DAY}T12:00:00,", "2026-03-03T00:00:00,1.0"])
def test_an_implausible_reading_stops_the_means(resources: dict[str, Any], source: Source, reading: str):
    write_day(source, DAY, *ROWS, f"roof,{reading}")

    result = run(resources)

    assert not result.success
    assert failed(result) == {"readings_are_plausible"}


def test_a_day_without_a_file_is_named(resources: dict[str, Any]):
    result = run(resources, "2026-03-01")

    description = result.failure_data_for_node(readings.node_def.name).user_failure_data.description
    assert "2026-03-01.csv does not exist" in str(description)


def test_a_missing_day_is_found_until_it_is_backfilled(resources: dict[str, Any], source: Source):
    days = ["2026-03-03", "2026-03-04"]
    for day in days:
        write_day(source, day, *(row.replace(DAY, day) for row in ROWS))

    instance = dg.DagsterInstance.ephemeral()
    found = [failed(run(resources, day, instance)) for day in (DAY, days[1], days[0])]

    assert found == [set(), {"no_day_is_missing"}, set()]


# Dagster's own schedule calls it.
@pytest.mark.filterwarnings("ignore:Function .JobDefinition.run_request_for_partition")
def test_the_schedule_asks_for_the_day_before():
    schedule = defs.resolve_schedule_def(f"{NAME}_daily")
    context = dg.build_schedule_context(
        scheduled_execution_time=datetime(2026, 3, 3, 6, tzinfo=timezone.utc), repository_def=defs.get_repository_def()
    )

    assert [request.partition_key for request in schedule.evaluate_tick(context).run_requests or []] == [DAY]
