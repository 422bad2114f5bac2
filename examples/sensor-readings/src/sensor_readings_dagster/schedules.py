"""The job that refreshes the assets, and its schedule."""

import dagster as dg

from . import NAME

refresh = dg.define_asset_job(f"{NAME}_refresh", selection=dg.AssetSelection.groups(NAME))

# Each morning the partition of the day before. Off by default: turn it on in the UI.
daily = dg.build_schedule_from_partitioned_job(
    refresh,
    name=f"{NAME}_daily",
    hour_of_day=6,
    default_status=dg.DefaultScheduleStatus.STOPPED,
)

JOBS = [refresh]
SCHEDULES = [daily]
