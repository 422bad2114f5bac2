"""From the pages of an API to a table in PostgreSQL."""

from datetime import timedelta

import dagster as dg
import pandas as pd
from sqlalchemy import text

from . import NAME
from .api import RatesApi
from .database import Database

TABLE = "exchange_rates"
COLUMNS = ["day", "currency", "rate"]

# A page that fails fails the step, which starts again after about 1, 2 and 4 seconds.
RETRIES = dg.RetryPolicy(max_retries=3, delay=1, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)


@dg.asset(key_prefix=NAME, group_name=NAME, kinds={"json"}, retry_policy=RETRIES)
def published(api: RatesApi) -> pd.DataFrame:
    """The rates as they were published, one row for each day and currency."""
    return pd.DataFrame(api.rates(), columns=COLUMNS)


@dg.asset(
    key_prefix=NAME,
    group_name=NAME,
    ins={"published": dg.AssetIn(key_prefix=NAME)},
    kinds={"postgresql"},
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=96), warn_window=timedelta(hours=78)),
)
def rates(published: pd.DataFrame, database: Database) -> pd.DataFrame:
    """The rates with plain types, also written to the table ``exchange_rates``."""
    table = published.assign(day=pd.to_datetime(published["day"]), rate=published["rate"].astype("float64"))
    database.replace_rows(TABLE, table)
    return table


def rows_in_table(database: Database) -> int:
    """Return how many rates the database has."""
    with database.begin() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {TABLE}")).scalar_one())


ASSETS = [published, rates]
