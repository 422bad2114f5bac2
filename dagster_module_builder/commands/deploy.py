"""``deploy`` and the tasks that change what runs on the hosts."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from invoke.collection import Collection
from invoke.exceptions import Exit

from dagster_module_builder.base.errors import UsageError
from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import DRY_RUN_HELP, JSON_HELP, YES_HELP, typed_of
from dagster_module_builder.commands.deploy_hosts import check, setup, trust, unlock
from dagster_module_builder.commands.deploy_pipeline import pipeline
from dagster_module_builder.commands.deploy_reports import list_, log, releases, status
from dagster_module_builder.commands.deployment_task import (
    FORCE_HELP,
    WAIT_HELP,
    Chosen,
    deployment_task,
    report,
    show,
)
from dagster_module_builder.commands.steps_table import StepsTable

if TYPE_CHECKING:
    from dagster_module_builder.deploy.rollout import RolloutOptions

_CHANGE_HELP = {"wait": WAIT_HELP, "force": FORCE_HELP}


@deployment_task(
    "deploy",
    help={
        **_CHANGE_HELP,
        "dry-run": DRY_RUN_HELP,
        "allow-dirty": "Deploy also what is not committed or not pushed; the release records it.",
        "drain": "Wait until no run of the module is in progress before the switch.",
        "keep": "How many good releases stay (default: as deployment.yaml says).",
        "only-failed": "Only the hosts that do not have this content yet.",
        "no-settle": "Do not wait until Dagster's daemon knows a module's first release.",
        "local": "Deploy from this machine, without the pipeline's tests and approval.",
        "json": JSON_HELP,
    },
)
def deploy(
    chosen: Chosen,
    dry_run: bool = False,
    allow_dirty: bool = False,
    wait: int = 0,
    drain: bool = False,
    keep: int = 0,
    only_failed: bool = False,
    force: bool = False,
    no_settle: bool = False,
    local: bool = False,
    json: bool = False,
) -> None:
    """Put modules on their client's hosts: verified, switched and healthy, or everything as before."""
    from dagster_module_builder.deploy.deploy import Options
    from dagster_module_builder.deploy.deploy import deploy as carry_out
    from dagster_module_builder.deploy.job_summary import write_summary
    from dagster_module_builder.deploy.pipeline import refuse_by_hand

    refuse_by_hand(chosen.deployments, local=local, environ=os.environ)
    if dry_run:
        _preview(chosen, allow_dirty=allow_dirty, force=force, as_json=json)
        return
    options = Options(chosen.hosts, allow_dirty, float(wait), drain, keep or None, force, only_failed, not no_settle)
    with StepsTable() as table:
        outcomes = carry_out(chosen.deployments, options, table.update)
    write_summary(chosen.name, outcomes, os.environ)
    report(outcomes, "runs", as_json=json)


def _preview(chosen: Chosen, *, allow_dirty: bool, force: bool, as_json: bool) -> None:
    from dagster_module_builder.deploy.preview import preview

    found = preview(chosen.deployments, chosen.hosts, allow_dirty=allow_dirty, force=force)
    show(found, _say_preview, as_json=as_json)


def _say_preview(found: Mapping[str, Any]) -> None:
    for module, change in found["modules"].items():
        console.say(f"{found['host']}: {module} {change['from'] or '(none)'} -> {change['release']}")
        for verb, paths in change["files"].items():
            shown = ", ".join(paths[:8]) + (f" and {len(paths) - 8} more" if len(paths) > 8 else "")
            console.say(f"  files {verb}: {shown or 'none'}")
        for line in change["commits"]:
            console.say(f"  commit {line}")
        for verb, names in change["settings"].items():
            if names:
                console.say(f"  settings {verb}: {', '.join(names)}")
        if change["builds_environment"]:
            console.say("  builds a new environment")
        for line in change["transfer"]:
            console.say(f"  runs here: {line}")
        for line in change["commands"]:
            console.say(f"  runs on the host: {line}")
    console.say_diff(found["diff"])


@deployment_task(
    "deploy.rollback",
    {**_CHANGE_HELP, "release": "The release to go back to (default: the one before).", "json": JSON_HELP},
    positional=typed_of("deploy.rollback", "name", "release"),
)
def rollback(
    chosen: Chosen, release: str | None = None, wait: int = 0, force: bool = False, json: bool = False
) -> None:
    """Go back to the release before, with its environment and settings; databases stay as they are."""
    from dagster_module_builder.deploy.job_summary import write_summary
    from dagster_module_builder.deploy.rollback import roll_back

    with _options(chosen, wait, force=force) as options:
        done = roll_back(chosen.deployments, release, options)
    write_summary(chosen.name, done, os.environ)
    report(done, "runs", as_json=json)


@deployment_task("deploy.env", {**_CHANGE_HELP, "json": JSON_HELP})
def env(chosen: Chosen, wait: int = 0, force: bool = False, json: bool = False) -> None:
    """Give what runs the settings of .env.deploy, without a new release."""
    from dagster_module_builder.deploy.rollback import change_settings

    with _options(chosen, wait, force=force) as options:
        done = change_settings(chosen.deployments, options)
    report(done, "has new settings for", as_json=json)


@deployment_task(
    "deploy.remove",
    {
        **_CHANGE_HELP,
        "yes": YES_HELP,
        "module": "The module to take off its hosts.",
        "delete-data": "Delete its database and its stored files there too, after a dump on the host; also later.",
        "json": JSON_HELP,
    },
)
def remove(
    chosen: Chosen,
    yes: bool = False,
    delete_data: bool = False,
    wait: int = 0,
    force: bool = False,
    json: bool = False,
) -> None:
    """Take a module off its hosts; what it stored stays, unless it is to be deleted."""
    from dagster_module_builder.deploy.hosts.targets import targets_of
    from dagster_module_builder.deploy.removal import remove as take_off

    if not chosen.modules:
        raise UsageError("Say which module with --module.")
    modules = ", ".join(chosen.modules)
    hosts = ", ".join(str(one) for one in targets_of(chosen.deployments, chosen.hosts))
    too = ", and delete its database and its stored files there after a dump" if delete_data else ""
    if not console.confirmed(f"Take {modules} with all its releases off {hosts}{too}?", yes=yes):
        raise Exit("Nothing was changed.", 1)
    with _options(chosen, wait, force=force) as options:
        done = take_off(chosen.deployments, options, delete_data=delete_data)
    report(done, f"no longer has {modules}", as_json=json)


@contextlib.contextmanager
def _options(chosen: Chosen, wait: int, *, force: bool) -> Iterator[RolloutOptions]:
    """Give the options of a change, whose steps are shown."""
    from dagster_module_builder.deploy.rollout import RolloutOptions

    with StepsTable() as table:
        yield RolloutOptions(chosen.hosts, float(wait), force, table.update)


#: The tasks of the collection ``deploy`` beside its default, which is ``deploy`` itself.
TASKS = (trust, setup, check, rollback, env, remove, status, releases, log, unlock, list_, pipeline)


def collection() -> Collection:
    """Return the collection ``deploy``."""
    made = Collection("deploy")
    made.add_task(deploy, default=True)
    for one in TASKS:
        made.add_task(one)
    return made
