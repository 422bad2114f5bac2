"""``deploy.pipeline``: what a platform reads of a deployment, written from ``deployment.yaml``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import DRY_RUN_HELP
from dagster_module_builder.commands.deployment_task import Chosen, deployment_task

if TYPE_CHECKING:
    from dagster_module_builder.plan import FileChange


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
    from dagster_module_builder.deployments.pipeline import find, planned_at, planned_guide

    for deployment in chosen.deployments:
        found = find(deployment)
        changes = [planned_at(found, force=force, remove=remove), *([] if remove else [planned_guide(found)])]
        _carry_out(deployment.names.name, changes, dry_run=dry_run)


def _carry_out(module: str, changes: Sequence[FileChange], *, dry_run: bool) -> None:
    from dagster_module_builder.transaction import commit_one

    for number, change in enumerate(changes):
        if dry_run:
            console.say_diff(change.diff())
            continue
        commit_one(change)
        done = "is up to date" if not change.changes else "removed" if change.after is None else "written"
        if change.changes or not number:
            console.say(f"{module}: {change.path} {done}")
