"""The contract of the published asset: the columns, types and values that its readers rely on.

Agree on a change with the readers first, then change the contract and the asset together.
"""

from dataclasses import dataclass

import dagster as dg
import pandas as pd
from pandas.api import types

from .assets import {{ 'MEASUREMENTS, summary' if cookiecutter.starter == 'sample' else 'first' }}


@dataclass(frozen=True)
class Column:
    """The promised type of one column, and whether its values are unique."""

    kind: str
    unique: bool = False


CONTRACT = {
{% if cookiecutter.starter == 'sample' %}
    "species": Column("text"),
    "sex": Column("text"),
    **{measurement: Column("number") for measurement in MEASUREMENTS},
    "penguins": Column("number"),
{% else %}
    "name": Column("text", unique=True),
    "value": Column("number"),
{% endif %}
}

_IS_KIND = {"text": types.is_string_dtype, "number": types.is_numeric_dtype}


def breaches(table: pd.DataFrame) -> list[str]:
    """Return each way in which the table breaks the contract."""
    wrong = [f"the column {name} is missing" for name in CONTRACT if name not in table]
    wrong += [f"the column {name} is not in the contract" for name in table if name not in CONTRACT]
    for name, promised in CONTRACT.items():
        if name in table:
            wrong += _breaches_of(table[name], promised)
    return wrong


def _breaches_of(values: pd.Series, promised: Column) -> list[str]:
    wrong = []
    if not _IS_KIND[promised.kind](values):
        wrong.append(f"{values.name} is {values.dtype}, not a {promised.kind}")
    if values.isna().any():
        wrong.append(f"{values.name} has missing values")
    if promised.unique and values.duplicated().any():
        wrong.append(f"{values.name} has repeated values")
    return wrong


{% set published = 'summary' if cookiecutter.starter == 'sample' else 'first' %}
@dg.asset_check(asset={{ published }}, blocking=True)
def {{ published }}_keeps_its_contract({{ published }}: pd.DataFrame) -> dg.AssetCheckResult:
    """The published table has the promised columns, types and values."""
    wrong = breaches({{ published }})
    return dg.AssetCheckResult(passed=not wrong, metadata={"breaches": wrong})
