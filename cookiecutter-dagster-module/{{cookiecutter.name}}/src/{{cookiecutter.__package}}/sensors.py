"""Alerts for failed runs."""

import dagster as dg

from . import NAME, TITLE
from .notifiers import notifier
from .schedules import refresh


@dg.run_failure_sensor(
    name=f"{NAME}_run_failed",
    monitored_jobs=[refresh],
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def run_failed(context: dg.RunFailureSensorContext) -> None:
    """Notify people when a run of this module's job fails."""
    run = context.dagster_run
    notifier().notify(f"{TITLE}: the run {run.run_id} of {run.job_name} failed: {context.failure_event.message}")


SENSORS = [run_failed]
