"""The job that refreshes the assets, and its schedule."""

import dagster as dg

from . import NAME

refresh = dg.define_asset_job(f"{NAME}_refresh", selection=dg.AssetSelection.groups(NAME))

# Every morning, before the goods are put away. Off by default: turn it on in the UI.
daily = dg.ScheduleDefinition(
    name=f"{NAME}_daily",
    job=refresh,
    cron_schedule="0 5 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
)

JOBS = [refresh]
SCHEDULES = [daily]
