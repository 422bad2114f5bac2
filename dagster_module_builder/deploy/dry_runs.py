"""What a change without a new release would change on the hosts: a rollback, other settings, a removal."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from dagster_module_builder.deploy.each_host import on_hosts
from dagster_module_builder.deploy.hosts import host_files
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.deploy.model.deployment import Deployment
from dagster_module_builder.deploy.model.hooks import all_hooks
from dagster_module_builder.deploy.preview import file_changes
from dagster_module_builder.deploy.removal import data_on
from dagster_module_builder.deploy.rollback import (
    ChangingSettings,
    ChosenRelease,
    Reselecting,
    RollingBack,
    locations,
    settings_differ,
)
from dagster_module_builder.shared_files.formats import env_file


def rollback(
    deployments: Sequence[Deployment], hosts: Sequence[str] = (), release: str | None = None, *, force: bool = False
) -> list[dict[str, Any]]:
    """Return, for each host, what a rollback would change there; nothing is changed.

    Definitions are not compared: those of a release that does not run are nowhere loaded.

    Args:
        deployments: The deployments.
        hosts: Only these hosts; all of them if empty.
        release: The release to go back to; None for the previous one.
        force: Replace blocks on the host that were edited by hand.
    """
    return _reselected(RollingBack([], lambda *_: None, release=release), deployments, hosts, force=force)


def settings(
    deployments: Sequence[Deployment], hosts: Sequence[str] = (), *, force: bool = False
) -> list[dict[str, Any]]:
    """Return, for each host, what ``deploy.env`` would change there, as ``rollback`` does."""
    return _reselected(ChangingSettings([], lambda *_: None), deployments, hosts, force=force)


def _reselected(
    change: Reselecting, deployments: Sequence[Deployment], hosts: Sequence[str], *, force: bool
) -> list[dict[str, Any]]:
    def look(run: HostRun) -> dict[str, Any]:
        run.inspect(run.target.modules)
        chosen = change.look(run)
        shown = host_files.without_secrets(run.plan(locations(run, chosen), force=force))
        modules = {each.module: _chosen_change(run, each, change) for each in chosen}
        return {"modules": modules, "diff": shown.diff(), "notes": list(run.notes)}

    return on_hosts(deployments, hosts, look)


def _chosen_change(run: HostRun, chosen: ChosenRelease, change: Reselecting) -> dict[str, Any]:
    """Return what changes for a module that gets a release which the host has already."""
    current = run.inspection["modules"][chosen.module]["state"].get("current")
    old, new = (
        run.conversation.ask("contents", module=chosen.module, identity=identity)
        if identity
        else {"manifest": "", "env": ""}
        for identity in (current, chosen.identity)
    )
    hooks = all_hooks(chosen.deployment) if change.hook_points else []
    points = {*(change.hook_points or ()), "on_failure"}
    return {
        "release": chosen.identity,
        "from": current,
        "files": file_changes(old["manifest"], new["manifest"]),
        "settings": settings_differ(env_file.values(base64.b64decode(old["env"])), env_file.values(chosen.env)),
        "hooks": [str(hook) for hook in hooks if hook.point in points],
    }


def removal(
    deployments: Sequence[Deployment],
    hosts: Sequence[str] = (),
    *,
    delete_data: bool = False,
    force: bool = False,
) -> list[dict[str, Any]]:
    """Return, for each host, what a removal of modules would take away there; nothing is changed.

    Args:
        deployments: The deployments.
        hosts: Only these hosts; all of them if empty.
        delete_data: Whether their data would be deleted, too.
        force: Remove blocks on the host that were edited by hand.

    Returns:
        For each host, ``modules`` with their ``releases``, the data that would be ``deleted`` and ``kept``, and
        ``notes``; and the ``diff`` of the host's files.
    """

    def look(run: HostRun) -> dict[str, Any]:
        run.inspect(run.target.modules)
        run.refuse_unready()
        names = [deployment.names for deployment in run.target.deployments]
        shown = host_files.without_secrets(run.plan([], names, force=force))
        modules = {each.names.name: _removed(run, each, deletes=delete_data) for each in run.target.deployments}
        return {"modules": modules, "diff": shown.diff()}

    return on_hosts(deployments, hosts, look)


def _removed(run: HostRun, deployment: Deployment, *, deletes: bool) -> dict[str, Any]:
    known = run.inspection["modules"][deployment.names.name]
    data = data_on(run, deployment)
    folder = [f"what {deployment.names.name} stored in {data.storage}"] if data.storage else []
    database = [f"the database {data.database['name']} on {data.database['host']}"] if data.database else []
    goes = [*folder, *(database if data.volumes else [])]
    return {
        "releases": sorted(known["releases"]),
        "deleted": goes if deletes else [],
        "kept": [] if deletes else goes,
        "notes": list(data.left) if deletes else [],
    }
