"""From raw measurements of penguins to one row for each species and sex."""

{% if cookiecutter.governance != 'quick' %}
from datetime import timedelta
{% endif %}
from importlib.resources import files

import dagster as dg
import pandas as pd

from . import NAME
{% if cookiecutter.database != 'none' %}
from .database import Database
{% endif %}
{% if cookiecutter.governance == 'enterprise' %}
from .ownership import {{ 'DATABASE_POOL, ' if cookiecutter.database != 'none' }}OWNERS, RETRIES, TAGS
{% endif %}

MEASUREMENTS = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]

_COLUMNS = {
    "Individual ID": "individual",
    "Date Egg": "observed_on",
    "Species": "species",
    "Island": "island",
    "Sex": "sex",
    "Culmen Length (mm)": "bill_length_mm",
    "Culmen Depth (mm)": "bill_depth_mm",
    "Flipper Length (mm)": "flipper_length_mm",
    "Body Mass (g)": "body_mass_g",
}


{% macro extras(kind) %}
{% if cookiecutter.governance == 'enterprise' %}
    owners=OWNERS,
    tags=TAGS,
    kinds={"{{ kind }}"},
    retry_policy=RETRIES,
{% endif %}
{% endmacro %}
{% if cookiecutter.governance == 'enterprise' %}
@dg.asset(
    key_prefix=NAME,
    group_name=NAME,
{{ extras('csv') }})
{% else %}
@dg.asset(key_prefix=NAME, group_name=NAME)
{% endif %}
def raw() -> pd.DataFrame:
    """The published measurements, one row for each penguin."""
    with files(__package__).joinpath("data/penguins-raw.csv").open("rb") as file:
        return pd.read_csv(file)


@dg.asset(
    key_prefix=NAME,
    group_name=NAME,
    ins={"raw": dg.AssetIn(key_prefix=NAME)},
{{ extras('pandas') }})
def cleaned(raw: pd.DataFrame) -> pd.DataFrame:
    """The penguins with complete measurements, with plain column names and types."""
    table = raw.rename(columns=_COLUMNS)[list(_COLUMNS.values())].dropna()
    return table.assign(
        observed_on=pd.to_datetime(table["observed_on"]),
        species=table["species"].str.split().str[0],
        sex=table["sex"].str.lower(),
    ).reset_index(drop=True)


@dg.asset(
    key_prefix=NAME,
    group_name=NAME,
    ins={"cleaned": dg.AssetIn(key_prefix=NAME)},
{% if cookiecutter.governance != 'quick' %}
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=48), warn_window=timedelta(hours=30)),
{% endif %}
{% if cookiecutter.governance == 'enterprise' and cookiecutter.database != 'none' %}
    pool=DATABASE_POOL,
{% endif %}
{{ extras(cookiecutter.database if cookiecutter.database != 'none' else 'pandas') }})
{% if cookiecutter.database != 'none' %}
def summary(cleaned: pd.DataFrame, database: Database) -> pd.DataFrame:
    """The mean measurements of each species and sex, also written to the table ``penguin_summary``."""
    by_group = cleaned.groupby(["species", "sex"])
    table = by_group[MEASUREMENTS].mean().round(1).assign(penguins=by_group.size()).reset_index()
    database.replace_rows("penguin_summary", table)
    return table
{% else %}
def summary(cleaned: pd.DataFrame) -> pd.DataFrame:
    """The mean measurements of each species and sex."""
    by_group = cleaned.groupby(["species", "sex"])
    return by_group[MEASUREMENTS].mean().round(1).assign(penguins=by_group.size()).reset_index()
{% endif %}


ASSETS = [raw, cleaned, summary]
