"""``deploy.pipeline``: what a platform reads of a deployment, written from ``deployment.yaml``."""

from __future__ import annotations

from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import DRY_RUN_HELP
from dagster_module_builder.commands.deployment_task import Chosen, deployment_task


@deployment_task(
    "deploy.pipeline",
    {
        "remove": "Take the pipeline out again.",
        "dry-run": DRY_RUN_HELP,
        "force": "Replace what somebody edited inside our lines.",
    },
)
def pipeline(chosen: Chosen, remove: bool = False, dry_run: bool = False, force: bool = False) -> None:
    """Write the pipelines of ci-cd deployments anew from their deployment.yaml, or take them out."""
    from dagster_module_builder.deployments.pipeline import planned
    from dagster_module_builder.transaction import commit_one

    for deployment in chosen.deployments:
        change = planned(deployment, force=force, remove=remove)
        if dry_run:
            console.say_diff(change.diff())
            continue
        commit_one(change)
        done = "is up to date" if not change.changes else "removed" if change.after is None else "written"
        console.say(f"{deployment.names.name}: {change.path} {done}")
