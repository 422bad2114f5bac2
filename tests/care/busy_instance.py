"""A Dagster instance with a history, in ``$DAGSTER_HOME``: ``python busy_instance.py make ROUNDS``, or ``state``.

It runs with an environment's Python that has Dagster, and imports nothing of this repository.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.observe import observe
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickData, TickStatus

PARTITIONS = dg.StaticPartitionsDefinition(["north", "south", "west"])
QUERY = """
{ assetNodes {
    assetKey { path }
    staleStatus
    assetMaterializations(limit: 1) { runId timestamp partition }
    assetObservations(limit: 1) { runId timestamp }
    latestMaterializationByPartition { runId timestamp partition }
    assetPartitionStatuses { ... on DefaultPartitionStatuses { materializedPartitions failedPartitions } }
    assetChecksOrError { ... on AssetChecks { checks { name
        executionForLatestMaterialization { runId status evaluation { success } } } } }
} }
"""


@dg.asset
def plain(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    for line in range(20):
        context.log.info("line %s", line)
    return dg.MaterializeResult(metadata={"rows": 3})


@dg.asset_check(asset=plain)
def is_fine() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.asset(partitions_def=PARTITIONS, deps=[plain])
def regional() -> None:
    return None


@dg.asset(partitions_def=PARTITIONS)
def failing(context: dg.AssetExecutionContext) -> None:
    if context.partition_key == "west":
        raise ValueError("on purpose")


@dg.observable_source_asset
def observed() -> dg.DataVersion:
    return dg.DataVersion("one")


@dg.op
def work() -> None:
    return None


@dg.job
def plain_job() -> None:
    work()


@dg.schedule(cron_schedule="0 6 * * *", job=plain_job)
def daily() -> None:
    return None


defs = dg.Definitions([plain, regional, failing, observed], asset_checks=[is_fine], jobs=[plain_job], schedules=[daily])


def make(rounds: int) -> None:
    """Run everything a number of times, and leave a run behind that has not ended."""
    with dg.DagsterInstance.get() as instance:
        for _ in range(rounds):
            dg.materialize([plain, is_fine], instance=instance)
            for region in PARTITIONS.get_partition_keys():
                dg.materialize([regional, plain], selection=[regional], partition_key=region, instance=instance)
                dg.materialize([failing], partition_key=region, instance=instance, raise_on_error=False)
            observe([observed], instance=instance)
            plain_job.execute_in_process(instance=instance)
        for tick in ticks():
            instance.create_tick(tick)
        again = instance.get_runs(filters=dg.RunsFilter(job_name="plain_job"))[-1]
        instance.add_run(
            dg.DagsterRun(
                "plain_job",
                "00000000-0000-4000-8000-000000000001",
                status=dg.DagsterRunStatus.STARTED,
                tags={"dagster/parent_run_id": again.run_id, "dagster/root_run_id": again.run_id},
            )
        )


def ticks() -> list[Any]:
    """Return three ended ticks of one schedule, and one that has not ended."""
    states = [TickStatus.SUCCESS, TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.STARTED]
    return [
        TickData("origin", "daily", InstigatorType.SCHEDULE, state, 1000.0 + number, run_ids=[], selector_id="selector")
        for number, state in enumerate(states)
    ]


def state() -> None:
    """Print what the page shows, and what the tables hold."""
    command = [Path(sys.executable).with_name("dagster-graphql"), "-f", __file__, "-t", QUERY]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # Its log is there, too.
    (answer,) = [line for line in said.splitlines() if line.startswith('{"data"')]
    with dg.DagsterInstance.get() as instance:
        storage = instance.event_log_storage
        with storage.index_connection() as connection:  # type: ignore[attr-defined]
            events = connection.exec_driver_sql("SELECT count(*) FROM event_logs").scalar_one()
            tags = connection.exec_driver_sql(
                "SELECT count(*) FROM asset_event_tags WHERE event_id NOT IN (SELECT id FROM event_logs)"
            ).scalar_one()
        runs = {run.run_id: (run.job_name, run.status.value) for run in instance.get_runs()}
        logs = {run: len(instance.all_logs(run)) for run in runs}
        found = {
            "page": sorted(json.loads(answer)["data"]["assetNodes"], key=lambda node: node["assetKey"]["path"]),
            "runs": runs,
            "events": events,
            "tags_of_no_event": tags,
            "logs": logs,
            "ticks": [tick.status.value for tick in instance.get_ticks("origin", "selector")],
        }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    make(int(sys.argv[2])) if sys.argv[1] == "make" else state()
