"""The module's whole job for one day, on temporary storage."""

from pathlib import Path
from typing import Any

import dagster as dg
from conftest import DAY

from sensor_readings_dagster import NAME
from sensor_readings_dagster.assets import ASSETS
from sensor_readings_dagster.checks import CHECKS
from sensor_readings_dagster.schedules import JOBS, refresh


def test_the_job_stores_a_partition_and_a_second_run_replaces_it(resources: dict[str, Any], storage_dir: Path):
    definitions = dg.Definitions(assets=ASSETS, asset_checks=CHECKS, jobs=JOBS, resources=resources)
    expected = {f"{asset.key.path[-1]}/{DAY}.data" for asset in ASSETS}

    for _ in range(2):
        result = definitions.resolve_job_def(refresh.name).execute_in_process(partition_key=DAY)

        assert result.success
        assert {check.check_name for check in result.get_asset_check_evaluations()} == {
            "readings_are_plausible",
            "no_day_is_missing",
        }
        folder = storage_dir / NAME
        assert {str(path.relative_to(folder)) for path in folder.rglob("*.data")} == expected
