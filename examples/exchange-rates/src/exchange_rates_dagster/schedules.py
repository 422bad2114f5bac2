"""The job that refreshes the assets, and its schedule."""

import dagster as dg

from . import NAME

refresh = dg.define_asset_job(f"{NAME}_refresh", selection=dg.AssetSelection.groups(NAME))

# On weekdays, after the rates are published. Off by default: turn it on in the UI.
daily = dg.ScheduleDefinition(
    name=f"{NAME}_daily",
    job=refresh,
    cron_schedule="30 16 * * 1-5",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
)

JOBS = [refresh]
SCHEDULES = [daily]
