"""``deploy`` and the tasks that change what runs on the hosts."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from invoke.collection import Collection
from invoke.exceptions import Exit

from dagster_module_builder.base.errors import UsageError
from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import DRY_RUN_HELP, YES_HELP, root_of, typed_of
from dagster_module_builder.commands.deploy_hosts import check, setup, trust, unlock
from dagster_module_builder.commands.deploy_logs import TASKS as LOG_TASKS
from dagster_module_builder.commands.deploy_pipeline import pipeline
from dagster_module_builder.commands.deploy_preview import preview
from dagster_module_builder.commands.deploy_reports import list_, log, releases, status
from dagster_module_builder.commands.deploy_sessions import TASKS as SESSION_TASKS
from dagster_module_builder.commands.deployment_task import (
    FORCE_HELP,
    WAIT_HELP,
    Chosen,
    agree_to_hooks,
    deployment_task,
    is_compared,
    notified,
    report,
    show,
)
from dagster_module_builder.commands.pull_request_comment import post, pull_request_for
from dagster_module_builder.commands.steps_table import StepsTable
from dagster_module_builder.commands.trusting import TRUST_HELP

if TYPE_CHECKING:
    from dagster_module_builder.deploy.pull_request import PullRequest
    from dagster_module_builder.deploy.rollout import RolloutOptions

_CHANGE_HELP = {"wait": WAIT_HELP, "force": FORCE_HELP}


@deployment_task(
    "deploy",
    help={
        **_CHANGE_HELP,
        "dry-run": DRY_RUN_HELP,
        "markdown": "Print what would change as Markdown, for a pull request.",
        "comment": "Post that on the pull request that a pipeline's job runs for.",
        "allow-dirty": "Accept changes that are not committed or not pushed; the release records it.",
        "drain": "Before the switch, wait until no run of the module is in progress.",
        "pause": "Pause the module's schedules and sensors until the release is kept or undone.",
        "keep": "The number of good releases to keep (default: as in deployment.yaml).",
        "only-failed": "Only the hosts that do not have this content yet.",
        "no-settle": "Do not wait until Dagster's daemon knows a module's first release.",
        "first": "Deploy to this host or group first, and to the others if it is well; may be given several times.",
        "first-wait": "Seconds to wait before --first is looked at again and the others follow (default: 0).",
        "local": "Deploy from this machine, without the pipeline's tests and approval.",
        "trust": TRUST_HELP,
    },
    iterable=["first"],
)
def deploy(
    chosen: Chosen,
    dry_run: bool = False,
    markdown: bool = False,
    comment: bool = False,
    allow_dirty: bool = False,
    wait: int = 0,
    drain: bool = False,
    pause: bool = False,
    keep: int = 0,
    only_failed: bool = False,
    force: bool = False,
    no_settle: bool = False,
    local: bool = False,
    trust: bool = False,
    first: Sequence[str] | None = None,
    first_wait: int = 0,
) -> None:
    """Deploy modules to their client's hosts: all hosts get a verified release, or all stay as they are."""
    from dagster_module_builder.deploy.deploy import Options
    from dagster_module_builder.deploy.in_turns import deploy_in_turns
    from dagster_module_builder.deploy.job_summary import write_summary
    from dagster_module_builder.deploy.pipeline import refuse_by_hand

    refuse_by_hand(chosen.deployments, local=local, environ=os.environ)
    if dry_run or markdown or comment:
        agree_to_hooks(chosen, trust=trust, only_settings=True)
        pull_request = pull_request_for(comment=comment)
        _preview(chosen, pull_request, allow_dirty=allow_dirty, force=force, as_markdown=markdown or comment)
        return
    agree_to_hooks(chosen, trust=trust)
    options = Options(
        chosen.hosts, allow_dirty, float(wait), drain, keep or None, force, only_failed, not no_settle, pause
    )
    options = replace(options, first=first or (), first_wait=float(first_wait), compare=is_compared(chosen))
    with notified(chosen, "deploy") as notifications:
        with StepsTable() as table:
            outcomes = deploy_in_turns(chosen.deployments, options, table.update)
        notifications.end(outcomes)
    write_summary(chosen.name, outcomes, os.environ)
    report(outcomes, "runs")


def _preview(
    chosen: Chosen, pull_request: PullRequest | None, *, allow_dirty: bool, force: bool, as_markdown: bool
) -> None:
    from dagster_module_builder.deploy.change_summary import markdown
    from dagster_module_builder.deploy.job_summary import add_to_page
    from dagster_module_builder.deploy.preview import preview

    root = root_of(chosen.root)
    results = preview(chosen.deployments, chosen.hosts, root=root, allow_dirty=allow_dirty, force=force)
    text = markdown(chosen.name, results)
    add_to_page(text, os.environ)
    post(pull_request, " ".join([chosen.name, *chosen.modules]), text)
    if as_markdown:
        console.say(text)
    show(results, _say_nothing if as_markdown else _say_preview)


def _say_nothing(_: Mapping[str, Any]) -> None:
    """Print nothing of a host: it was printed already."""


def _say_preview(result: Mapping[str, Any]) -> None:
    from dagster_module_builder.deploy.change_summary import lines

    for module, change in result["modules"].items():
        console.say(f"{result['host']}: {module} {change['from'] or '(none)'} -> {change['release']}")
        for line in (*_file_lines(change["files"]), *lines(change), *_other_lines(change)):
            console.say(f"  {line}")
    for note in result.get("notes", ()):
        console.inform(f"  {note}")
    console.say_diff(result["diff"])


def _say_removal(result: Mapping[str, Any]) -> None:
    for module, change in result["modules"].items():
        console.say(f"{result['host']}: {module} is removed: {', '.join(change['releases']) or 'no release'}")
        for verb in ("deleted", "kept"):
            for what in change[verb]:
                console.say(f"  {verb}: {what}")
        for note in change["notes"]:
            console.inform(f"  {note}")
    console.say_diff(result["diff"])


def _file_lines(files: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for verb, paths in files.items():
        shown = ", ".join(paths[:8]) + (f" and {len(paths) - 8} more" if len(paths) > 8 else "")
        yield f"files {verb}: {shown or 'none'}"


def _other_lines(change: Mapping[str, Any]) -> Iterator[str]:
    # A change without a new release brings no commits, and runs nothing but its hooks.
    yield from (f"commit {line}" for line in change.get("commits", ()))
    yield from (f"settings {verb}: {', '.join(names)}" for verb, names in change["settings"].items() if names)
    yield from (f"hooks {verb}: {', '.join(paths)}" for verb, paths in change.get("hook_files", {}).items() if paths)
    yield from ["builds a new environment"] if change.get("builds_environment") else []
    yield from (f"runs here: {line}" for line in change.get("transfer", ()))
    yield from (f"runs on the host: {line}" for line in change.get("commands", ()))
    yield from (f"hook {line}" for line in change["hooks"])


@deployment_task(
    "deploy.rollback",
    {
        **_CHANGE_HELP,
        "release": "The release to go back to (default: the previous one).",
        "dry-run": DRY_RUN_HELP,
        "trust": TRUST_HELP,
    },
    positional=typed_of("deploy.rollback", "name", "release"),
)
def rollback(
    chosen: Chosen,
    release: str | None = None,
    dry_run: bool = False,
    wait: int = 0,
    force: bool = False,
    trust: bool = False,
) -> None:
    """Go back to the previous release, with its environment and settings; databases are not changed."""
    from dagster_module_builder.deploy import dry_runs
    from dagster_module_builder.deploy.job_summary import write_summary
    from dagster_module_builder.deploy.rollback import roll_back

    if dry_run:
        show(dry_runs.rollback(chosen.deployments, chosen.hosts, release, force=force), _say_preview)
        return
    agree_to_hooks(chosen, trust=trust)
    with notified(chosen, "rollback") as notifications:
        with _options(chosen, wait, force=force) as options:
            done = roll_back(chosen.deployments, release, replace(options, compare=is_compared(chosen)))
        notifications.end(done)
    write_summary(chosen.name, done, os.environ)
    report(done, "runs")


@deployment_task(
    "deploy.promote",
    {
        **_CHANGE_HELP,
        "to": "The deployment that gets the release: its folder in the modules' deploy/.",
        "release": "The release to take (default: the one that runs).",
        "dry-run": DRY_RUN_HELP,
        "drain": "Before the switch, wait until no run of the module is in progress.",
        "pause": "Pause the module's schedules and sensors until the release is kept or undone.",
        "local": "Deploy from this machine, without the pipeline's tests and approval.",
        "trust": TRUST_HELP,
    },
    positional=typed_of("deploy.promote", "name", "to"),
)
def promote(
    chosen: Chosen,
    to: str | None = None,
    release: str | None = None,
    dry_run: bool = False,
    wait: int = 0,
    drain: bool = False,
    pause: bool = False,
    force: bool = False,
    local: bool = False,
    trust: bool = False,
) -> None:
    """Give another deployment's hosts the very release that runs for this one: deploy.promote NAME TO."""
    from dagster_module_builder.deploy.deploy import Options
    from dagster_module_builder.deploy.job_summary import write_summary
    from dagster_module_builder.deploy.pipeline import refuse_by_hand
    from dagster_module_builder.deploy.promotion import promote as carry_out

    if not to:
        raise UsageError("The deployment that gets the release is missing: deploy.promote NAME TO.")
    target = replace(chosen, name=to)
    refuse_by_hand(target.deployments, local=local, environ=os.environ)
    agree_to_hooks(target, trust=trust, only_settings=dry_run)
    if dry_run:
        from dagster_module_builder.deploy.preview import preview_promotion

        root, own = root_of(target.root), (target.deployments, target.hosts)
        show(preview_promotion(chosen.deployments, *own, release, root=root, force=force), _say_preview)
        return
    options = Options(
        target.hosts, wait=float(wait), drain=drain, force=force, pause=pause, compare=is_compared(target)
    )
    with notified(target, "deploy") as notifications:
        with StepsTable() as table:
            outcomes = carry_out(chosen.deployments, target.deployments, options, release, table.update)
        notifications.end(outcomes)
    write_summary(target.name, outcomes, os.environ)
    report(outcomes, "runs")


@deployment_task("deploy.env", {**_CHANGE_HELP, "dry-run": DRY_RUN_HELP, "trust": TRUST_HELP})
def env(chosen: Chosen, dry_run: bool = False, wait: int = 0, force: bool = False, trust: bool = False) -> None:
    """Give the current release the settings in .env.deploy, without a new release."""
    from dagster_module_builder.deploy import dry_runs
    from dagster_module_builder.deploy.rollback import change_settings

    agree_to_hooks(chosen, trust=trust, only_settings=True)
    if dry_run:
        show(dry_runs.settings(chosen.deployments, chosen.hosts, force=force), _say_preview)
        return
    with _options(chosen, wait, force=force) as options:
        done = change_settings(chosen.deployments, options)
    report(done, "has new settings for")


@deployment_task(
    "deploy.remove",
    {
        **_CHANGE_HELP,
        "yes": YES_HELP,
        "dry-run": DRY_RUN_HELP,
        "module": "The module to remove from its hosts.",
        "delete-data": "Delete its database and its stored files, too, after a dump on the host; also possible later.",
    },
)
def remove(
    chosen: Chosen,
    yes: bool = False,
    dry_run: bool = False,
    delete_data: bool = False,
    wait: int = 0,
    force: bool = False,
) -> None:
    """Remove a module from its hosts; its data is kept unless you pass --delete-data."""
    from dagster_module_builder.deploy import dry_runs
    from dagster_module_builder.deploy.hosts.targets import targets_of
    from dagster_module_builder.deploy.removal import remove as remove_from_hosts

    if not chosen.modules:
        raise UsageError("The module is missing: pass --module NAME.")
    if dry_run:
        looked = dry_runs.removal(chosen.deployments, chosen.hosts, delete_data=delete_data, force=force)
        show(looked, _say_removal)
        return
    modules = ", ".join(chosen.modules)
    hosts = ", ".join(str(target) for target in targets_of(chosen.deployments, chosen.hosts))
    too = ", and delete its database and its stored files there after a dump" if delete_data else ""
    if not console.confirmed(f"Remove {modules} with all its releases from {hosts}{too}?", yes=yes):
        raise Exit("Nothing was changed.", 1)
    with _options(chosen, wait, force=force) as options:
        done = remove_from_hosts(chosen.deployments, options, delete_data=delete_data)
    report(done, f"no longer has {modules}")


@contextlib.contextmanager
def _options(chosen: Chosen, wait: int, *, force: bool) -> Iterator[RolloutOptions]:
    """Yield the options of a rollout whose steps are shown."""
    from dagster_module_builder.deploy.rollout import RolloutOptions

    with StepsTable() as table:
        yield RolloutOptions(chosen.hosts, float(wait), force, table.update)


#: The tasks of the collection ``deploy`` beside its default, which is ``deploy`` itself.
TASKS = (
    trust,
    setup,
    check,
    rollback,
    promote,
    preview,
    env,
    remove,
    status,
    releases,
    log,
    unlock,
    list_,
    pipeline,
    *LOG_TASKS,
    *SESSION_TASKS,
)


def collection() -> Collection:
    """Return the collection ``deploy``."""
    made = Collection("deploy")
    made.add_task(deploy, default=True)
    for task in TASKS:
        made.add_task(task)
    return made
