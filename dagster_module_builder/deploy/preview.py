"""What a deployment would change on the hosts."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from dagster_module_builder.deploy import release_changes
from dagster_module_builder.deploy.deploy import on_host, release_of
from dagster_module_builder.deploy.each_host import on_hosts
from dagster_module_builder.deploy.host_side.compose import starting
from dagster_module_builder.deploy.host_side.environments import building
from dagster_module_builder.deploy.host_side.manifest import path_of
from dagster_module_builder.deploy.hosts import host_assets, host_files, host_preparation
from dagster_module_builder.deploy.hosts.host_release import Release
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.deploy.model.deployment import Deployment
from dagster_module_builder.deploy.model.hooks import all_hooks
from dagster_module_builder.deploy.promotion import taken_from
from dagster_module_builder.deploy.rollback import settings_differ
from dagster_module_builder.programs.version_control import commits_since
from dagster_module_builder.shared_files.formats import env_file


def preview(
    deployments: Sequence[Deployment],
    hosts: Sequence[str] = (),
    *,
    root: Path | None = None,
    allow_dirty: bool = False,
    force: bool = False,
) -> list[dict[str, Any]]:
    """Return, for each host, what a deployment would change there; nothing is changed, and no lock is taken.

    Args:
        deployments: The deployments.
        hosts: Only these hosts; all of them if empty.
        root: The workspace's root, whose environments load the new definitions; None to compare no definitions.
        allow_dirty: Accept changes that are not committed or not pushed.
        force: Replace blocks on the host that were edited by hand.
    """
    made = {deployment.names.name: release_of(deployment, allow_dirty=allow_dirty) for deployment in deployments}
    return _previewed(made, deployments, hosts, root, force=force)


def preview_promotion(
    sources: Sequence[Deployment],
    deployments: Sequence[Deployment],
    hosts: Sequence[str] = (),
    release: str | None = None,
    *,
    root: Path | None = None,
    force: bool = False,
) -> list[dict[str, Any]]:
    """Return, for each host, what a promotion would change there, as ``preview`` does.

    Args:
        sources: The deployment whose release is taken, for each module.
        deployments: The deployment that would get it.
        hosts: Only these hosts; all of them if empty.
        release: The release to take; None for the current one.
        root: The workspace's root, whose environments load the new definitions; None to compare no definitions.
        force: Replace blocks on the host that were edited by hand.
    """
    made = {each.module: each for each in taken_from(sources, deployments, release, lambda *_: None)}
    # The code of an image is not here.
    root = None if any(each.strategy.serves for each in made.values()) else root
    return _previewed(made, deployments, hosts, root, force=force)


def _previewed(
    made: Mapping[str, Release],
    deployments: Sequence[Deployment],
    hosts: Sequence[str],
    root: Path | None,
    *,
    force: bool,
) -> list[dict[str, Any]]:
    """Return, for each host, what these releases would change there."""

    def look(run: HostRun) -> dict[str, Any]:
        mine = [on_host(made[deployment.names.name], run) for deployment in run.target.deployments]
        run.inspect(run.target.modules, sorted({tool for release in mine for tool in release.strategy.tools_there}))
        run.refuse_unready()
        host_assets.choose(run, {release.module: release.env for release in mine})
        plan = run.plan([run.location_of(release) for release in mine], force=force)
        shown = host_files.without_secrets(plan)
        return {"modules": {release.module: _preview(run, release, root) for release in mine}, "diff": shown.diff()}

    return on_hosts(deployments, hosts, look)


def _preview(run: HostRun, release: Release, root: Path | None) -> dict[str, Any]:
    module = run.inspection["modules"][release.module]
    current = module["state"].get("current")
    record = module["releases"].get(current, {})
    old = (
        run.conversation.ask("contents", module=release.module, identity=current)
        if current
        else {"manifest": "", "env": ""}
    )
    old_env = env_file.values(base64.b64decode(old["env"]))
    environment = run.environment(release)
    builds = environment is not None and not run.has_environment(release.module, environment)
    files = file_changes(old["manifest"], release.staged.manifest)
    path = run.on_host("modules", release.module, "releases", release.identity)
    folder = host_preparation.release_folder(run, release, path, current)
    known = set(old["manifest"].splitlines())
    lacking = [line for line in release.staged.lines if line not in known]
    return {
        "release": release.identity,
        "from": current,
        "files": files,
        "commits": commits_since(release.deployment.module, record.get("commit"), release.staged.source.commit),
        "settings": settings_differ(old_env, env_file.values(release.env)),
        "builds_environment": builds,
        **release_changes.changes(run, release, root, is_same=record.get("digest") == release.staged.digest),
        "transfer": release.strategy.commands(release.deployment.own, release.staged, folder, lacking),
        "commands": _commands(run, release, builds=builds),
        "hooks": [str(hook) for hook in all_hooks(release.deployment)],
        "hook_files": named_changes(record.get("hooks") or {}, release.hooks),
    }


def _commands(run: HostRun, release: Release, *, builds: bool) -> list[str]:
    """Return the commands that run on the host after the transfer, as a person would type them."""
    deployment, identity = release.deployment, release.identity
    folder = PurePosixPath(run.inside("modules", release.module, "releases", identity), deployment.source)
    python = run.python(deployment, run.environment(release))
    commands = [["dagster", "definitions", "validate", "-m", deployment.names.definitions, "-d", str(folder)]]
    if not release.strategy.serves:
        commands[0][:1] = [python, "-m", "dagster"]
    if builds:
        commands[:0] = building(str(PurePosixPath(python).parent.parent), run.environment_python(deployment))
    if where := run.where:
        commands = [[*where["prefix"], where["service"], *command] for command in commands]
    if release.database:
        commands.append(starting(run.on_host(deployment.dagster_folder), [release.database["name"]]))
    restart = deployment.data["dagster"].get("restart_daemon")
    reload = f"reloadWorkspace, asked of {run.target.host.url}"
    return [*map(shlex.join, commands), reload, *filter(None, [restart])]


def file_changes(old: str, new: str) -> dict[str, list[str]]:
    """Return the files that are added, removed and changed between two manifests."""
    before, after = ({path_of(line): line for line in text.splitlines()} for text in (old, new))
    return named_changes(before, after)


def named_changes(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the names that are added, removed and changed between two mappings."""
    return {
        "added": sorted(set(after) - set(before)),
        "removed": sorted(set(before) - set(after)),
        "changed": sorted(path for path in set(after) & set(before) if after[path] != before[path]),
    }
