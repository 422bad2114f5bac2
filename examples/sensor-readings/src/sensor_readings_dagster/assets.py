"""From a file for each day to the means of each hour, in daily partitions."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
import pandas as pd

from . import NAME
from .source import Source

DAYS = dg.DailyPartitionsDefinition(start_date="2026-01-01", timezone="UTC")

#: The coldest and the hottest that a sensor can measure, in °C.
RANGE = (-40, 85)


# A check of one partition belongs to the asset: an asset check in checks.py gets all partitions as its input.
@dg.asset(
    key_prefix=NAME,
    group_name=NAME,
    kinds={"csv"},
    partitions_def=DAYS,
    check_specs=[dg.AssetCheckSpec("readings_are_plausible", asset=[NAME, "readings"], blocking=True)],
)
def readings(
    context: dg.AssetExecutionContext, source: Source
) -> Iterator[dg.Output[pd.DataFrame] | dg.AssetCheckResult]:
    """The readings of one day, as the sensors sent them."""
    table = source.day(context.partition_key)
    yield dg.Output(table)
    yield plausible(table, context.partition_key)


def plausible(readings: pd.DataFrame, day: str) -> dg.AssetCheckResult:
    """Every reading is of the day, and in the range of the sensors; otherwise the means are not made."""
    good = readings["celsius"].between(*RANGE) & (readings["taken_at"].dt.strftime("%Y-%m-%d") == day)
    bad_rows = int((~good).sum())
    return dg.AssetCheckResult(
        check_name="readings_are_plausible",
        passed=not readings.empty and bad_rows == 0,
        metadata={"bad_rows": bad_rows},
    )


@dg.asset(
    key_prefix=NAME,
    group_name=NAME,
    ins={"readings": dg.AssetIn(key_prefix=NAME)},
    kinds={"pandas"},
    partitions_def=DAYS,
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=48), warn_window=timedelta(hours=30)),
)
def hourly(readings: pd.DataFrame) -> pd.DataFrame:
    """The mean temperature of each sensor in each hour of the day."""
    hours = readings.assign(hour=readings["taken_at"].dt.floor("h")).groupby(["sensor", "hour"])
    return hours.agg(celsius=("celsius", "mean"), readings=("celsius", "size")).reset_index()


ASSETS = [readings, hourly]
