"""``deploy.pipeline``: writes the files that a platform reads from ``deployment.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import DRY_RUN_HELP, root_of
from dagster_module_builder.commands.deployment_task import Chosen, deployment_task

if TYPE_CHECKING:
    from dagster_module_builder.deploy.pipeline_place import PipelinePlace
    from dagster_module_builder.transactions.plan import FileChange


@deployment_task(
    "deploy.pipeline",
    {
        "remove": "Remove the pipeline.",
        "dry-run": DRY_RUN_HELP,
        "force": "Discard manual edits inside the pipeline's managed lines.",
    },
)
def pipeline(chosen: Chosen, remove: bool = False, dry_run: bool = False, force: bool = False) -> None:
    """Rewrite the pipelines of ci-cd deployments from their deployment.yaml, or remove them."""
    from dagster_module_builder.deploy import leftover_pipelines
    from dagster_module_builder.deploy.pipeline import planned_at
    from dagster_module_builder.deploy.pipeline_companions import companions, read_by_jobs

    left = leftover_pipelines.named(root_of(chosen.root), Path.cwd(), chosen.name, chosen.modules)
    places = _places(chosen, may_be_gone=remove and bool(left))
    done: list[dict[str, Any]] = []
    console.give({"dry_run": dry_run, "files": done})
    # Leftovers are removed first: if that fails, nothing else is changed.
    for leftover in left:
        if remove or leftover.moved:
            change = planned_at(leftover.pipeline, force=force, remove=True)
            done.append(_carried_out(change, leftover.pipeline.module, dry_run=dry_run))
        else:
            console.inform(f"{leftover.problem} Run '{leftover.cure}'.")
    if not remove:
        _say_what_is_lacking(chosen)
    for place in places:
        done.append(_carried_out(planned_at(place, force=force, remove=remove), place.module, dry_run=dry_run))
        for beside in companions(place, remove=remove):
            if beside.changes:
                in_full = beside.path not in read_by_jobs(place)
                done.append(_carried_out(beside, place.module, dry_run=dry_run, in_full=in_full))


def _say_what_is_lacking(chosen: Chosen) -> None:
    from dagster_module_builder.deploy.pipelines.description import lacks_previews

    for deployment in chosen.deployments:
        if deployment.pipeline is not None and (note := lacks_previews(deployment)):
            console.inform(f"{deployment.names.name}: {note}")


def _places(chosen: Chosen, *, may_be_gone: bool) -> list[PipelinePlace]:
    """Return the places of the chosen deployments' pipelines; empty for a deployment that may be gone."""
    from dagster_module_builder.deploy.pipeline import find

    try:
        deployments = chosen.deployments
    except RefusedError:
        if may_be_gone:
            return []
        raise
    return [find(deployment) for deployment in deployments if deployment.pipeline is not None or not may_be_gone]


def _carried_out(change: FileChange, module: str, *, dry_run: bool, in_full: bool = True) -> dict[str, Any]:
    """Write or remove a file, or say that it would be; return what programs read of it."""
    from dagster_module_builder.transactions.transaction import commit_one

    done = "is up to date" if not change.changes else "removed" if change.after is None else "written"
    if not dry_run:
        commit_one(change)
        console.say(f"{module}: {change.path} {done}")
    elif in_full:
        console.say_diff(change.diff())
    else:
        console.say(f"{module}: {change.path} would be {'removed' if change.after is None else 'written'}")
    return {"module": module, "path": str(change.path), "change": done}
