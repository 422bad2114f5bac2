"""The module's whole job, on temporary storage and a temporary database."""

from pathlib import Path
from typing import Any

import dagster as dg

from delivery_notes_dagster import NAME
from delivery_notes_dagster.assets import ASSETS
from delivery_notes_dagster.checks import CHECKS
from delivery_notes_dagster.schedules import JOBS, refresh


def test_the_job_stores_every_asset_and_a_second_run_replaces_the_first(resources: dict[str, Any], storage_dir: Path):
    definitions = dg.Definitions(assets=ASSETS, asset_checks=CHECKS, jobs=JOBS, resources=resources)
    expected = {f"{asset.key.path[-1]}.data" for asset in ASSETS}

    for _ in range(2):
        result = definitions.resolve_job_def(refresh.name).execute_in_process()

        assert result.success
        assert len(result.get_asset_check_evaluations()) == len(CHECKS)
        assert {path.name for path in (storage_dir / NAME).glob("*.data")} == expected
