"""The definitions that Dagster loads."""

import dagster as dg

from .assets import ASSETS
from .checks import CHECKS
from .resources import RESOURCES
from .schedules import JOBS, SCHEDULES

defs = dg.Definitions(
    assets=ASSETS,
    asset_checks=CHECKS,
    jobs=JOBS,
    schedules=SCHEDULES,
    resources=RESOURCES,
    executor=dg.in_process_executor,
)
