"""Asset checks."""

import dagster as dg
import pandas as pd

from .assets import first
{% if cookiecutter.governance == 'enterprise' %}
from .contract import first_keeps_its_contract
{% endif %}


@dg.asset_check(asset=first, blocking=True)
def first_has_rows(first: pd.DataFrame) -> dg.AssetCheckResult:
    """The table is not empty."""
    return dg.AssetCheckResult(passed=not first.empty, metadata={"rows": len(first)})


{% if cookiecutter.governance != 'quick' %}
@dg.asset_check(asset=first)
def names_are_unique(first: pd.DataFrame) -> dg.AssetCheckResult:
    """No name appears twice."""
    repeated = int(first["name"].duplicated().sum())
    return dg.AssetCheckResult(passed=repeated == 0, metadata={"repeated_names": repeated})


{% endif %}
{% if cookiecutter.governance == 'quick' %}
CHECKS = [first_has_rows]
{% elif cookiecutter.governance == 'standard' %}
CHECKS = [first_has_rows, names_are_unique]
{% else %}
CHECKS = [first_has_rows, names_are_unique, first_keeps_its_contract]
{% endif %}
