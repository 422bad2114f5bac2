"""``deploy.preview``: branches run beside production, each in a small separate Dagster."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster_module_builder.base.errors import BuilderError, UsageError
from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import DRY_RUN_HELP, root_of, typed_of
from dagster_module_builder.commands.deployment_task import (
    WAIT_HELP,
    Chosen,
    agree_to_hooks,
    deployment_task,
    exit_on_errors,
)
from dagster_module_builder.commands.pull_request_comment import post, pull_request_for
from dagster_module_builder.commands.steps_table import StepsTable
from dagster_module_builder.commands.trusting import TRUST_HELP

if TYPE_CHECKING:
    from dagster_module_builder.deploy.branch_previews import Previews
    from dagster_module_builder.deploy.model.deployment import Deployment
    from dagster_module_builder.deploy.pull_request import PullRequest


@deployment_task(
    "deploy.preview",
    {
        "name": "The deployment that has 'preview:' (default: the only one).",
        "branch": "The branch (default: the one that is checked out).",
        "list": "List the previews.",
        "remove": "Remove the branch's preview, with all that it stored.",
        "merged": "Remove the previews whose branch is merged or gone.",
        "dry-run": DRY_RUN_HELP,
        "comment": "Write where it is, and what it changes, to the pull request that the pipeline's job runs for.",
        "allow-dirty": "Accept a commit that is not pushed, and uncommitted changes, which are not in the preview.",
        "wait": WAIT_HELP,
        "trust": TRUST_HELP,
    },
    positional=typed_of("deploy.preview", "branch", least=0),
)
def preview(
    chosen: Chosen,
    branch: str | None = None,
    list: bool = False,  # noqa: A002 - the flag's name
    remove: bool = False,
    merged: bool = False,
    dry_run: bool = False,
    comment: bool = False,
    allow_dirty: bool = False,
    wait: int = 0,
    trust: bool = False,
) -> None:
    """Run a branch beside production, in a small Dagster that reads what production stored and never writes there."""
    from dagster_module_builder.deploy.branch_previews import MakeOptions, Previews

    if list + remove + merged > 1:
        raise UsageError("Pass only one of --list, --remove and --merged.")
    if chosen.hosts:
        raise UsageError("Previews are on the host that deployment.yaml names below 'preview:': do not pass --host.")
    deployments = _with_previews(chosen)
    with StepsTable() as table:
        previews = Previews(deployments, table.update)
        if list:
            results: Sequence[Mapping[str, Any]] = previews.all()
        elif remove or merged:
            if remove and not branch:
                raise UsageError("The branch is missing: deploy.preview BRANCH --remove.")
            _agree(chosen, deployments, trust=trust)
            results = _removed(previews, branch if remove else None, merged=merged, dry_run=dry_run, comment=comment)
        else:
            _agree(chosen, deployments, trust=trust)
            options = MakeOptions(allow_dirty, float(wait))
            results = [_made(previews, branch or _current(deployments), options, dry_run=dry_run, comment=comment)]
    console.give(results)
    _say(results, is_list=list, was_removed=remove or merged)
    exit_on_errors(results)


def _with_previews(chosen: Chosen) -> list[Deployment]:
    """Return the deployment with previews, of each module that was chosen."""
    from dagster_module_builder.deploy.model.deployment import FILE, all_deployments, deployments_of, read_deployment

    name = chosen.name
    if not name:
        root = root_of(chosen.root)
        here = [path for path in (Path.cwd(), *Path.cwd().parents) if (path / "deploy").is_dir()][:1]
        folders = {*all_deployments(root), *(each for module in here for each in deployments_of(module))}
        names = sorted({each.name for each in map(read_deployment, folders) if each.data.get("preview")})
        if not names:
            raise UsageError(f"No deployment has previews: add 'preview:' with 'host:' to a {FILE}.")
        if len(names) > 1:
            raise UsageError(f"Several deployments have previews: pass --name with one of {', '.join(names)}.")
        name = names[0]
    every = replace(chosen, name=name).deployments
    # Without any, the message says what to add.
    return [each for each in every if each.data.get("preview")] or every


def _agree(chosen: Chosen, deployments: Sequence[Deployment], *, trust: bool) -> None:
    """Ask whether what previews bring may run on this machine, if anything does."""
    hooks = (each.data.get("preview", {}).get("hooks") or {} for each in deployments)
    here = any(hook.get("where") == "here" for points in hooks for entries in points.values() for hook in entries)
    agree_to_hooks(replace(chosen, name=deployments[0].name), trust=trust, only_settings=not here)


def _current(deployments: Sequence[Deployment]) -> str:
    from dagster_module_builder.deploy.branches import current_branch

    branch = current_branch(deployments)
    if branch is None:
        raise UsageError("No branch is checked out: name one, deploy.preview BRANCH.")
    return branch


def _made(previews: Previews, branch: str, options: Any, *, dry_run: bool, comment: bool) -> Mapping[str, Any]:
    from dagster_module_builder.deploy import preview_text
    from dagster_module_builder.deploy.branch_previews import make, planned
    from dagster_module_builder.deploy.job_summary import add_to_page

    if dry_run:
        return planned(previews, branch, options)
    pull_request = pull_request_for(comment=comment)
    try:
        result = make(previews, branch, options)
    except BuilderError as error:
        _comment(pull_request, previews, branch, preview_text.failed(str(error)))
        raise
    text = preview_text.made(result)
    add_to_page(text, os.environ)
    _comment(pull_request, previews, branch, text)
    return result


def _removed(
    previews: Previews, branch: str | None, *, merged: bool, dry_run: bool, comment: bool
) -> Sequence[Mapping[str, Any]]:
    from dagster_module_builder.deploy import preview_text
    from dagster_module_builder.deploy.branch_previews import remove

    pull_request = pull_request_for(comment=comment and branch is not None)
    results = remove(previews, branch, merged=merged, dry_run=dry_run)
    if branch is not None and any(each["removed"] and each["branch"] == branch for each in results):
        _comment(pull_request, previews, branch, preview_text.removed())
    return results


def _comment(pull_request: PullRequest | None, previews: Previews, branch: str, text: str) -> None:
    post(pull_request, f"preview of {branch} beside {previews.deployment}", text)


def _say(results: Sequence[Mapping[str, Any]], *, is_list: bool, was_removed: bool) -> None:
    if not results:
        console.say("There are no previews." if is_list else "There was no preview to remove.")
    for result in results:
        if "error" in result:
            console.alert(f"{result['branch']}: {result['error']}")
        elif "would" in result:
            _say_plan(result)
        elif was_removed:
            console.say(f"{result['branch']}: {'removed' if result['removed'] else 'would be removed'}")
        else:
            _say_preview(result)


def _say_plan(result: Mapping[str, Any]) -> None:
    for line in result["would"]:
        console.say(line)
    for module, change in result["changes"].items():
        for line in (*change["commits"], *change["files"]):
            console.say(f"  {module}: {line}")


def _say_preview(result: Mapping[str, Any]) -> None:
    state = "runs" if result["running"] else "does not run: deploy it again"
    console.say(f"{result['branch']}: {state}, {result['address'] or result['url']} on {result['host']}")
    console.say(f"  commit {str(result['commit'])[:8]} by {result['by']}, kept until {str(result['expires'])[:10]}")
    if not result["address"]:
        console.say(f"  {result['tunnel']}")
    for note in result.get("notes", ()):
        console.inform(f"  {note}")
    for branch in result.get("removed", ()):
        console.inform(f"  The preview of {branch} was too old, and was removed.")
