"""When the assets are made anew."""

import dagster as dg

from . import NAME

refresh = dg.define_asset_job(f"{NAME}_refresh", selection=dg.AssetSelection.groups(NAME))

# Stopped until somebody turns it on in the UI: a new module starts nothing by itself.
daily = dg.ScheduleDefinition(
    name=f"{NAME}_daily",
    job=refresh,
    cron_schedule="0 6 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
)

JOBS = [refresh]
SCHEDULES = [daily]
