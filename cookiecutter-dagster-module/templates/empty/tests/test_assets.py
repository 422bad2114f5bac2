from typing import Any

import dagster as dg

from {{ cookiecutter.__package }}.assets import ASSETS, first
from {{ cookiecutter.__package }}.checks import CHECKS, first_has_rows


def test_everything_is_materialized_and_checked(resources: dict[str, Any]):
    result = dg.materialize([*ASSETS, *CHECKS], resources=resources)

    assert all(check.passed for check in result.get_asset_check_evaluations())


def test_an_empty_table_is_found():
    assert first_has_rows(first()).passed
    assert not first_has_rows(first().head(0)).passed
