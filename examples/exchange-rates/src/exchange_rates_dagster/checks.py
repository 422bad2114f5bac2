"""Asset checks."""

import dagster as dg
import pandas as pd

from .assets import published, rates, rows_in_table
from .database import Database


@dg.asset_check(asset=published, blocking=True)
def rates_are_plausible(published: pd.DataFrame) -> dg.AssetCheckResult:
    """Every rate is positive, and none is published twice; otherwise the table stays as it is."""
    implausible = ~(published["rate"] > 0) | published.duplicated(["day", "currency"])
    bad_rows = int(implausible.sum())
    return dg.AssetCheckResult(passed=not published.empty and bad_rows == 0, metadata={"bad_rows": bad_rows})


@dg.asset_check(asset=rates)
def the_table_is_complete(rates: pd.DataFrame, database: Database) -> dg.AssetCheckResult:
    """PostgreSQL has every rate."""
    stored = rows_in_table(database)
    return dg.AssetCheckResult(passed=stored == len(rates), metadata={"rows": stored})


CHECKS = [rates_are_plausible, the_table_is_complete]
