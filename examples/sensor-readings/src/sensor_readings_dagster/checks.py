"""Asset checks that look at all partitions."""

import dagster as dg

from .assets import DAYS, hourly


@dg.asset_check(asset=hourly)
def no_day_is_missing(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Every day between the first and the last one was materialized; a backfill adds the others."""
    stored = context.instance.get_materialized_partitions(hourly.key)
    days = DAYS.get_partition_keys_in_range(dg.PartitionKeyRange(min(stored), max(stored))) if stored else []
    missing = [day for day in days if day not in stored]
    return dg.AssetCheckResult(passed=not missing, severity=dg.AssetCheckSeverity.WARN, metadata={"missing": missing})


CHECKS = [no_day_is_missing]
