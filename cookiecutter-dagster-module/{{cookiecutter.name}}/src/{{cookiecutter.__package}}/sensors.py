"""What watches the runs."""

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
    """Tell people of a failed run of this module's job."""
    run = context.dagster_run
    notifier().notify(f"{TITLE}: the run {run.run_id} of {run.job_name} failed: {context.failure_event.message}")


SENSORS = [run_failed]
