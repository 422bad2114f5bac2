from typing import Any

import dagster as dg
import pandas as pd
{% if cookiecutter.__server %}
from sqlalchemy import text
{% endif %}

from {{ cookiecutter.__package }}.assets import ASSETS, MEASUREMENTS, cleaned, raw
from {{ cookiecutter.__package }}.checks import CHECKS, measurements_are_plausible
{% if cookiecutter.database != 'none' %}
from {{ cookiecutter.__package }}.database import Database
{% endif %}


def materialize(resources: dict[str, Any]) -> dg.ExecuteInProcessResult:
    return dg.materialize([*ASSETS, *CHECKS], resources=resources)


def test_only_whole_penguins_are_kept():
    penguins = cleaned(raw())

    assert len(raw()) == 344
    assert len(penguins) == 333
    assert set(penguins["species"]) == {"Adelie", "Chinstrap", "Gentoo"}
    assert set(penguins["sex"]) == {"female", "male"}


def test_everything_is_materialized_and_checked(resources: dict[str, Any]):
    result = materialize(resources)

    assert all(check.passed for check in result.get_asset_check_evaluations())
    summary = result.output_for_node("{{ cookiecutter.__snake }}__summary")
    assert summary["penguins"].sum() == 333


def test_a_missing_measurement_stops_the_summary():
    good = cleaned(raw())
    bad = good.assign(body_mass_g=good["body_mass_g"].where(good.index > 0))

    assert measurements_are_plausible(good).passed
    assert not measurements_are_plausible(bad).passed
    assert not measurements_are_plausible(pd.DataFrame(columns=MEASUREMENTS)).passed
{% if cookiecutter.__server %}


def test_the_summary_is_the_table_s_only_content(resources: dict[str, Any], database: Database):
    for _ in range(2):
        materialize(resources)

    with database.begin() as connection:
        rows = connection.execute(text("SELECT count(*), sum(penguins) FROM penguin_summary")).one()
    assert tuple(rows) == (6, 333)
{% elif cookiecutter.database == 'duckdb' %}


def test_the_summary_is_the_table_s_only_content(resources: dict[str, Any], database: Database):
    for _ in range(2):
        materialize(resources)

    with database.begin() as connection:
        rows = connection.execute("SELECT count(*), sum(penguins) FROM penguin_summary").fetchone()
    assert rows == (6, 333)
{% endif %}
