"""The module's job as a whole, on storage and a database that last only for the test."""

from pathlib import Path
from typing import Any

import dagster as dg

from {{ cookiecutter.__package }} import NAME
from {{ cookiecutter.__package }}.assets import ASSETS
from {{ cookiecutter.__package }}.checks import CHECKS
from {{ cookiecutter.__package }}.schedules import JOBS, refresh


def test_the_job_materializes_and_stores_every_asset(resources: dict[str, Any], storage_dir: Path):
    definitions = dg.Definitions(assets=ASSETS, asset_checks=CHECKS, jobs=JOBS, resources=resources)

    result = definitions.resolve_job_def(refresh.name).execute_in_process()

    assert result.success
    assert len(result.get_asset_check_evaluations()) == len(CHECKS)
    names = {asset.key.path[-1] for asset in ASSETS}
    assert {path.name for path in (storage_dir / NAME).glob("*.data")} == {f"{name}.data" for name in names}


def test_a_second_run_replaces_the_first(resources: dict[str, Any], storage_dir: Path):
    definitions = dg.Definitions(assets=ASSETS, asset_checks=CHECKS, jobs=JOBS, resources=resources)
    job = definitions.resolve_job_def(refresh.name)

    job.execute_in_process()
    first = sorted(storage_dir.rglob("*.data"))
    job.execute_in_process()

    assert sorted(storage_dir.rglob("*.data")) == first
