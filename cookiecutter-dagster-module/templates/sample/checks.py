"""Asset checks."""

import dagster as dg
import pandas as pd

{% if cookiecutter.governance == 'quick' %}
from .assets import MEASUREMENTS, cleaned
{% else %}
from .assets import MEASUREMENTS, cleaned, raw, summary
{% endif %}
{% if cookiecutter.governance == 'enterprise' %}
from .contract import summary_keeps_its_contract
{% endif %}


@dg.asset_check(asset=cleaned, blocking=True)
def measurements_are_plausible(cleaned: pd.DataFrame) -> dg.AssetCheckResult:
    """No measurement is missing, zero or negative; otherwise the summary is not made."""
    implausible = cleaned[~(cleaned[MEASUREMENTS] > 0).all(axis="columns")]
    return dg.AssetCheckResult(passed=implausible.empty and not cleaned.empty, metadata={"bad_rows": len(implausible)})


{% if cookiecutter.governance != 'quick' %}
@dg.asset_check(asset=raw)
def few_rows_are_lost(raw: pd.DataFrame) -> dg.AssetCheckResult:
    """At most a twentieth of the penguins lack a measurement or their sex."""
    needed = ["Sex", "Culmen Length (mm)", "Culmen Depth (mm)", "Flipper Length (mm)", "Body Mass (g)"]
    lost = int(raw[needed].isna().any(axis="columns").sum())
    return dg.AssetCheckResult(passed=lost <= len(raw) / 20, metadata={"incomplete_rows": lost})


@dg.asset_check(asset=summary)
def every_group_is_there(summary: pd.DataFrame) -> dg.AssetCheckResult:
    """Each species appears once for each sex."""
    groups = summary[["species", "sex"]]
    expected = summary["species"].nunique() * summary["sex"].nunique()
    passed = len(summary) == expected > 0 and not groups.duplicated().any()
    return dg.AssetCheckResult(passed=bool(passed), metadata={"groups": len(summary)})


{% endif %}
{% if cookiecutter.governance == 'quick' %}
CHECKS = [measurements_are_plausible]
{% elif cookiecutter.governance == 'standard' %}
CHECKS = [measurements_are_plausible, few_rows_are_lost, every_group_is_there]
{% else %}
CHECKS = [measurements_are_plausible, few_rows_are_lost, every_group_is_there, summary_keeps_its_contract]
{% endif %}
