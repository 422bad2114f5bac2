from typing import Any

import dagster as dg
import pandas as pd
import pytest
from api_server import ApiServer

from exchange_rates_dagster.assets import ASSETS, published, rates, rows_in_table
from exchange_rates_dagster.checks import CHECKS, rates_are_plausible, the_table_is_complete
from exchange_rates_dagster.database import Database


def run(resources: dict[str, Any]) -> dg.ExecuteInProcessResult:
    return dg.materialize([*ASSETS, *CHECKS], resources=resources, raise_on_error=False)


def test_the_rates_of_all_pages_are_in_the_table(resources: dict[str, Any], database: Database):
    result = run(resources)

    assert result.success
    assert all(check.passed for check in result.get_asset_check_evaluations())
    assert result.output_for_node(rates.node_def.name)["rate"].tolist() == [1.08, 0.85, 1.09]
    assert rows_in_table(database) == 3


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_api_is_asked_again(resources: dict[str, Any], api_server: ApiServer, status: int):
    api_server.failures = [status]

    result = run(resources)

    assert result.success
    assert sum(event.event_type_value == "STEP_UP_FOR_RETRY" for event in result.all_events) == 1


def test_a_refusal_is_final(resources: dict[str, Any], api_server: ApiServer):
    api_server.failures = [403]

    result = run(resources)

    assert not result.success
    assert "403 Forbidden" in str(result.failure_data_for_node(published.node_def.name).user_failure_data.description)
    assert api_server.failures == []


@pytest.mark.parametrize("rate", [0, -1, None])
def test_an_implausible_rate_does_not_reach_the_table(
    resources: dict[str, Any], api_server: ApiServer, database: Database, rate: float | None
):
    run(resources)
    api_server.pages = [[{"day": "2026-03-04", "currency": "USD", "rate": rate}]]

    assert not run(resources).success
    assert rows_in_table(database) == 3


def test_a_rate_that_is_published_twice_is_found(api_server: ApiServer):
    row = {"day": "2026-03-04", "currency": "USD", "rate": 1.1}

    assert rates_are_plausible(pd.DataFrame([row])).passed
    assert not rates_are_plausible(pd.DataFrame([row, row])).passed


def test_a_table_that_lacks_a_rate_is_found(resources: dict[str, Any], database: Database):
    table = run(resources).output_for_node(rates.node_def.name)
    database.replace_rows("exchange_rates", table.head(1))

    assert not the_table_is_complete(table, database).passed
