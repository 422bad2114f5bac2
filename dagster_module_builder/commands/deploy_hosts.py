"""The tasks of ``deploy`` for the hosts themselves: keys, tools, locks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from invoke.exceptions import Exit

from dagster_module_builder.base.errors import UsageError
from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import DRY_RUN_HELP, YES_HELP
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

    def confirm(host: ShownKeys) -> bool:
        if host.has_changed:
            console.alert(f"{host.host} shows OTHER keys than the pinned ones. Find out why before you go on.")
        question = f"Pin these keys for {host.host}?"
        return console.confirmed(question, yes=False, flag="--fingerprint with what the host's administrator tells you")

    done = []
    for deployment in chosen.deployments:
        shown = shown_keys(deployment, chosen.hosts)
        for host in shown:
            for kind, value in host.fingerprints.items():
                console.alert(f"{host.host}  {kind}  {value}{'  (pinned)' if host.is_pinned else ''}")
        pinned = pin(deployment, shown, confirm, fingerprint or ())
        for host in pinned:
            console.say(f"pinned {len(host.keys)} keys of {host.host} in {deployment.known_hosts}")
        done += [
            {
                "deployment": deployment.name,
                "module": deployment.names.name,
                "host": host.host,
                "fingerprints": dict(host.fingerprints),
                "pinned": host.is_pinned or host in pinned,
            }
            for host in shown
        ]
        console.give(done)
        reached = [host.host for host in shown]
        if pinned and not chosen.hosts and any(host.address not in reached for host in deployment.hosts):
            console.inform("Run the same command again for the hosts behind these.")
        if pinned:
            say_to_commit(deployment)


def say_to_commit(deployment: Deployment) -> None:
    """Print the commands that commit and push a deployment's files: ``deploy`` refuses uncommitted ones."""
    from dagster_module_builder.base.errors import ToolError
    from dagster_module_builder.deploy.model.source import to_commit

    try:
        commands = to_commit(deployment)
    except ToolError as error:
        # The task itself has succeeded.
        console.inform(str(error))
        return
    if commands:
        console.say("\nCommit the deployment's files; `deploy` needs them committed:")
        for line in commands:
            console.say(f"  {line}")


@deployment_task(
    "deploy.setup",
    {
        "start": "Make and start Dagster where none runs: its containers, or its environment and its processes.",
        "stop": "Stop the Dagster that --start started; its data is kept.",
        "yes": "Stop it even while runs are in progress; they end with it.",
        "dry-run": DRY_RUN_HELP,
    },
)
def setup(
    chosen: Chosen,
    start: bool = False,
    stop: bool = False,
    yes: bool = False,
    dry_run: bool = False,
) -> None:
    """Prepare hosts for their first deployment; do nothing on prepared ones."""
    from dagster_module_builder.deploy.setup import preview, set_up

    if start and stop:
        raise UsageError("Pass --start or --stop, not both.")
    if dry_run:
        show(preview(chosen.deployments, chosen.hosts, start=start), _say_plan)
        return
    with StepsTable() as table:
        results = set_up(chosen.deployments, chosen.hosts, start=start, stop=stop, ends_runs=yes, progress=table.update)
    show(results, _say_stopped if stop else _say_setup)


def _say_plan(result: Mapping[str, Any]) -> None:
    console.say(f"{result['host']}: {'nothing would change' if not result['would'] else 'would be prepared'}")
    for step in result["would"]:
        console.say(f"  {step}")


def _say_stopped(result: Mapping[str, Any]) -> None:
    for note in result["notes"]:
        console.say(f"{result['host']}: {note}")


def _say_setup(result: Mapping[str, Any]) -> None:
    console.say(f"{result['host']}: {'prepared' if result['made'] else 'was prepared before'}")
    for path in result["files"]:
        console.say(f"  made    {path}")
    for note in result["notes"]:
        console.inform(f"  {note}")


def _counted(problems: int) -> str:
    return "ready" if not problems else "1 problem" if problems == 1 else f"{problems} problems"


@deployment_task("deploy.check")
def check(chosen: Chosen) -> None:
    """Find everything that would stop a deployment; change nothing."""
    from dagster_module_builder.deploy.check import check as look

    results = look(chosen.deployments, chosen.hosts)
    console.give(results)
    for result in results:
        console.say(f"{result['host']}: {_counted(len(result['problems']))}")
        for problem in result["problems"]:
            console.say(f"  {problem}")
    if any(result["problems"] for result in results):
        raise Exit(code=1)


@deployment_task("deploy.unlock", {"yes": YES_HELP})
def unlock(chosen: Chosen, yes: bool = False) -> None:
    """End a deployment that hangs, and undo its unfinished work."""
    from dagster_module_builder.deploy.status import unlock as end

    if not console.confirmed(f"End the deployment that is running on the hosts of {chosen.name!r}?", yes=yes):
        raise Exit("Nothing was changed.", 1)
    results = end(chosen.deployments, chosen.hosts)
    console.give(results)
    for result in results:
        held = result.get("held")
        said = result.get("error") or (
            f"ended {held.get('who')}, since {held.get('since')}" if held else "the lock was free"
        )
        console.say(f"{result['host']}: {said}")
    exit_on_errors(results)
