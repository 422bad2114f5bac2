"""The tasks of ``deploy`` that are about the hosts themselves: keys, tools, locks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from invoke.exceptions import Exit

from dagster_module_builder.base.errors import UsageError
from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import DRY_RUN_HELP, JSON_HELP, YES_HELP
from dagster_module_builder.commands.deployment_task import Chosen, deployment_task, exit_on_errors, show
from dagster_module_builder.commands.steps_table import StepsTable

if TYPE_CHECKING:
    from dagster_module_builder.deploy.model.deployment import Deployment


@deployment_task(
    "deploy.trust",
    {"fingerprint": "Pin the key with this fingerprint (SHA256:…) without asking; may be given several times."},
    iterable=["fingerprint"],
)
def trust(chosen: Chosen, fingerprint: Sequence[str] | None = None) -> None:
    """Show the hosts' keys, and pin those that you confirm."""
    from dagster_module_builder.deploy.trust import ShownKeys, shown_keys
    from dagster_module_builder.deploy.trust import trust as pin

    def confirm(one: ShownKeys) -> bool:
        if one.has_changed:
            console.tell(f"{one.host} shows OTHER keys than those pinned. Find out why before you go on.")
        question = f"Pin these keys for {one.host}?"
        return console.confirmed(question, yes=False, flag="--fingerprint with what the host's administrator tells you")

    for deployment in chosen.deployments:
        shown = shown_keys(deployment, chosen.hosts)
        for one in shown:
            for kind, value in one.fingerprints.items():
                console.tell(f"{one.host}  {kind}  {value}{'  (pinned)' if one.is_pinned else ''}")
        pinned = pin(deployment, shown, confirm, fingerprint or ())
        for one in pinned:
            console.say(f"pinned {len(one.keys)} keys of {one.host} in {deployment.known_hosts}")
        if pinned and any(
            host.address not in [one.host for one in shown] for host in deployment.hosts if not chosen.hosts
        ):
            console.tell("Now the hosts behind: run the same command again.")
        if pinned:
            say_to_commit(deployment)


def say_to_commit(deployment: Deployment) -> None:
    """Print what to type so that a deployment's files are committed and pushed: ``deploy`` refuses them otherwise."""
    from dagster_module_builder.base.errors import ToolError
    from dagster_module_builder.deploy.model.source import to_commit

    try:
        commands = to_commit(deployment)
    except ToolError as error:
        # What was asked for is done.
        console.tell(str(error))
        return
    if commands:
        console.say("\nCommit the deployment's files; `deploy` needs them committed:")
        for line in commands:
            console.say(f"  {line}")


@deployment_task(
    "deploy.setup",
    {
        "start": "Make and start a Dagster where none runs: its containers, or its environment and its processes.",
        "stop": "Stop the Dagster that --start started; what is stored stays.",
        "yes": "Stop it also while runs are in progress, which end with it.",
        "dry-run": DRY_RUN_HELP,
        "json": JSON_HELP,
    },
)
def setup(
    chosen: Chosen,
    start: bool = False,
    stop: bool = False,
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Prepare hosts for their first deployment; where that is done, change nothing."""
    from dagster_module_builder.deploy.setup import preview, set_up

    if start and stop:
        raise UsageError("Pass --start or --stop, not both.")
    if dry_run:
        show(preview(chosen.deployments, chosen.hosts, start=start), _say_plan, as_json=json)
        return
    with StepsTable() as table:
        found = set_up(chosen.deployments, chosen.hosts, start=start, stop=stop, ends_runs=yes, progress=table.update)
    show(found, _say_stopped if stop else _say_setup, as_json=json)


def _say_plan(found: Mapping[str, Any]) -> None:
    console.say(f"{found['host']}: {'nothing would change' if not found['would'] else 'would be prepared'}")
    for step in found["would"]:
        console.say(f"  {step}")


def _say_stopped(found: Mapping[str, Any]) -> None:
    for note in found["notes"]:
        console.say(f"{found['host']}: {note}")


def _say_setup(found: Mapping[str, Any]) -> None:
    console.say(f"{found['host']}: {'prepared' if found['made'] else 'was prepared before'}")
    for path in found["files"]:
        console.say(f"  made    {path}")
    for note in found["notes"]:
        console.tell(f"  {note}")


def _counted(problems: int) -> str:
    return "ready" if not problems else "1 problem" if problems == 1 else f"{problems} problems"


@deployment_task("deploy.check", {"json": JSON_HELP})
def check(chosen: Chosen, json: bool = False) -> None:
    """Find everything that would be in a deployment's way; change nothing."""
    from dagster_module_builder.deploy.check import check as look

    found = look(chosen.deployments, chosen.hosts)
    if json:
        console.say_json(found)
    for one in [] if json else found:
        console.say(f"{one['host']}: {_counted(len(one['problems']))}")
        for problem in one["problems"]:
            console.say(f"  {problem}")
    if any(one["problems"] for one in found):
        raise Exit(code=1)


@deployment_task("deploy.unlock", {"yes": YES_HELP})
def unlock(chosen: Chosen, yes: bool = False) -> None:
    """End a deployment that hangs; what it had half done is undone."""
    from dagster_module_builder.deploy.status import unlock as end

    if not console.confirmed(f"End whoever is deploying {chosen.name!r} now?", yes=yes):
        raise Exit("Nothing was changed.", 1)
    found = end(chosen.deployments, chosen.hosts)
    for one in found:
        held = one.get("held")
        said = one.get("error") or (f"ended {held.get('who')}, since {held.get('since')}" if held else "nobody held it")
        console.say(f"{one['host']}: {said}")
    exit_on_errors(found)
