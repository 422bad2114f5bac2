"""What there is on the hosts, seen without changing anything."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy import leftover_pipelines, pipeline
from dagster_module_builder.deploy.deploy import release_of
from dagster_module_builder.deploy.host_side.compose import starting
from dagster_module_builder.deploy.host_side.environments import building
from dagster_module_builder.deploy.hosts import host_assets, host_files
from dagster_module_builder.deploy.hosts.host_containers import problems_inside
from dagster_module_builder.deploy.hosts.host_release import Release
from dagster_module_builder.deploy.hosts.host_requests import SPARE
from dagster_module_builder.deploy.hosts.host_run import ENVIRONMENT, HostRun, Progress, holder
from dagster_module_builder.deploy.log_entries import operations
from dagster_module_builder.deploy.model import host_settings
from dagster_module_builder.deploy.model.deployment import Deployment, lacking_settings
from dagster_module_builder.deploy.model.release import path_of
from dagster_module_builder.deploy.rollback import settings_differ
from dagster_module_builder.deploy.rollout import in_parallel, targets_of
from dagster_module_builder.deploy.strategies.base import load_strategy
from dagster_module_builder.programs.version_control import commits_since
from dagster_module_builder.shared_files.formats import env_file


def _on_hosts(
    deployments: Sequence[Deployment], hosts: Sequence[str], look: Any, progress: Progress
) -> list[dict[str, Any]]:
    """Look at every host at once; a host that fails tells why."""

    def one(run: HostRun) -> dict[str, Any]:
        try:
            return {"host": str(run.target), **look(run)}
        except BuilderError as error:
            return {"host": str(run.target), "error": str(error)}
        finally:
            run.close()

    return list(in_parallel([HostRun(target, progress) for target in targets_of(deployments, hosts)], one))


def _modules(run: HostRun) -> list[str]:
    return [one.names.name for one in run.target.deployments]


def status(
    deployments: Sequence[Deployment], hosts: Sequence[str] = (), progress: Progress = lambda *_: None
) -> list[dict[str, Any]]:
    """Return, for each host, what runs there, since when and by whom, whether Dagster has loaded it, and the lock."""

    def look(run: HostRun) -> dict[str, Any]:
        found = run.look(_modules(run))
        seen = found["dagster"]
        return {
            "dagster": seen.get("error", "answers") + _how_to_start(run, seen),
            "daemon": seen.get("daemons"),
            "lock": found["lock"],
            "unfinished": found["journal"] and not found["lock"],
            "modules": [_module_status(run, one, seen.get("locations", {})) for one in run.target.deployments],
        }

    return _on_hosts(deployments, hosts, look, progress)


def _how_to_start(run: HostRun, seen: Mapping[str, Any]) -> str:
    return f" Run 'deploy.setup {run.target.first.name} --start'." if run.has_service and "error" in seen else ""


def _module_status(run: HostRun, deployment: Deployment, locations: Mapping[str, Any]) -> dict[str, Any]:
    found = run.found["modules"][deployment.names.name]
    state, location = found["state"], locations.get(deployment.names.snake)
    current = state.get("current")
    record = found["releases"].get(current, {})
    if location is None:
        loaded = "not in Dagster"
    elif not location["loaded"]:
        loaded = (location["error"] or location["status"]).strip().splitlines()[-1]
    else:
        loaded = (
            "loaded"
            if any(f"/releases/{current}/" in f"{value}/" for value in location["metadata"].values())
            else "loaded from elsewhere"
        )
    return {
        "module": deployment.names.name,
        "release": current,
        "previous": state.get("previous"),
        "commit": record.get("commit"),
        "dirty": record.get("dirty"),
        "since": state.get("since"),
        "by": state.get("by"),
        "location": loaded,
        "strategy": deployment.strategy,
        "pipeline": None if deployment.pipeline is None else pipeline.summary(deployment),
        "image": record.get("image"),
        "servers": found["servers"],
    }


def releases(deployments: Sequence[Deployment], hosts: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return, for each host, the releases of each module, newest first."""

    def look(run: HostRun) -> dict[str, Any]:
        found = run.look(_modules(run))["modules"]
        return {"modules": {name: _releases(found[name]) for name in _modules(run)}}

    return _on_hosts(deployments, hosts, look, lambda *_: None)


def _releases(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    state = found["state"]
    role = {state.get("previous"): "previous", state.get("current"): "current"}
    good = [{**record, "release": name, "role": role.get(name, "")} for name, record in found["releases"].items()]
    bad = [{"release": name.partition(".")[0], "role": "bad"} for name in found["bad"]]
    return sorted([*good, *bad], key=lambda one: str(one["release"]), reverse=True)


def log(deployments: Sequence[Deployment], hosts: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return, for each host, what was done there with each module, oldest first."""

    def look(run: HostRun) -> dict[str, Any]:
        run.look(_modules(run))
        asked = run.conversation.ask
        return {"modules": {name: operations(asked("log", module=name)["log"]) for name in _modules(run)}}

    return _on_hosts(deployments, hosts, look, lambda *_: None)


def unlock(deployments: Sequence[Deployment], hosts: Sequence[str] = ()) -> list[dict[str, Any]]:
    """End whoever holds the lock of each host; what they had half done is undone."""

    def look(run: HostRun) -> dict[str, Any]:
        run.look(_modules(run))
        return {"held": run.conversation.ask("unlock", modules=_modules(run), log=holder("unlock"))["held"]}

    return _on_hosts(deployments, hosts, look, lambda *_: None)


def preview(
    deployments: Sequence[Deployment], hosts: Sequence[str] = (), *, allow_dirty: bool = False, force: bool = False
) -> list[dict[str, Any]]:
    """Return, for each host, what a deployment would change there; nothing is changed, and no lock is taken."""
    made = {one.names.name: release_of(one, allow_dirty=allow_dirty) for one in deployments}

    def look(run: HostRun) -> dict[str, Any]:
        mine = [made[one.names.name] for one in run.target.deployments]
        run.look(_modules(run), sorted({tool for one in mine for tool in one.strategy.tools_there}))
        run.refuse_unready()
        host_assets.choose(run, {one.module: one.env for one in mine})
        plan = run.plan([run.location_of(one) for one in mine], force=force)
        shown = host_files.without_secrets(plan)
        return {"modules": {one.module: _preview(run, one) for one in mine}, "diff": shown.diff()}

    return _on_hosts(deployments, hosts, look, lambda *_: None)


def _preview(run: HostRun, release: Release) -> dict[str, Any]:
    found = run.found["modules"][release.module]
    current = found["state"].get("current")
    record = found["releases"].get(current, {})
    old = (
        run.conversation.ask("contents", module=release.module, identity=current)
        if current
        else {"manifest": "", "env": ""}
    )
    old_env = env_file.values(base64.b64decode(old["env"]))
    environment = run.environment(release)
    builds = environment is not None and not run.has_environment(release.module, environment)
    files = file_changes(old["manifest"], release.staged.manifest)
    place = run.place(release, run.on_host("modules", release.module, "releases", release.identity), current)
    known = set(old["manifest"].splitlines())
    lacking = [line for line in release.staged.lines if line not in known]
    return {
        "release": release.identity,
        "from": current,
        "files": files,
        "commits": commits_since(release.deployment.module, record.get("commit"), release.staged.source.commit),
        "settings": settings_differ(old_env, env_file.values(release.env)),
        "builds_environment": builds,
        "transfer": release.strategy.commands(release.deployment.own, release.staged, place, lacking),
        "commands": _commands(run, release, builds=builds),
    }


def _commands(run: HostRun, release: Release, *, builds: bool) -> list[str]:
    """Return what is run where Dagster runs, behind the transfer, as a person would type it."""
    deployment, identity = release.deployment, release.identity
    folder = PurePosixPath(run.inside("modules", release.module, "releases", identity), deployment.source)
    python = run.python(deployment, run.environment(release))
    commands = [["dagster", "definitions", "validate", "-m", deployment.names.definitions, "-d", str(folder)]]
    if not release.strategy.serves:
        commands[0][:1] = [python, "-m", "dagster"]
    if builds:
        commands[:0] = building(str(PurePosixPath(python).parent.parent), run.environment_python(deployment))
    if there := run.where:
        commands = [[*there["prefix"], there["service"], *one] for one in commands]
    if release.database:
        commands.append(starting(run.on_host(deployment.dagster_folder), [release.database["name"]]))
    restart = deployment.data["dagster"].get("restart_daemon")
    reload = f"reloadWorkspace, asked of {run.target.host.url}"
    return [*map(shlex.join, commands), reload, *filter(None, [restart])]


def file_changes(old: str, new: str) -> dict[str, list[str]]:
    """Return which files two manifests add, remove and change."""
    before, after = ({path_of(line): line for line in text.splitlines()} for text in (old, new))
    return {
        "added": sorted(set(after) - set(before)),
        "removed": sorted(set(before) - set(after)),
        "changed": sorted(path for path in set(after) & set(before) if after[path] != before[path]),
    }


def check(deployments: Sequence[Deployment], hosts: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return, for each host, everything that is known before a deployment to be in its way; nothing is changed.

    What ``deploy`` refuses on this machine is told at once: no host is asked, as ``deploy`` would not come to that.
    """
    targets = targets_of(deployments, hosts)
    here = [problem for one in deployments for problem in problems_here(one)]
    if here:
        return [{"host": str(target), "problems": here} for target in targets]

    def look(run: HostRun) -> dict[str, Any]:
        strategies = {one.strategy: load_strategy(one.strategy) for one in run.target.deployments}
        found = run.look(_modules(run), sorted({tool for one in strategies.values() for tool in one.tools_there}))
        return {"problems": problems_there(run, found), "user": found["user"], "disk": found["disk"]}

    answers = _on_hosts(deployments, hosts, look, lambda *_: None)
    return [{**one, "problems": [one["error"]]} if "error" in one else one for one in answers]


def problems_here(deployment: Deployment) -> list[str]:
    """Return what is in the way on this machine: what ``deploy`` refuses, or what a pipeline would not find."""
    problems = []
    try:
        settings = env_file.values(deployment.env_text())
        problems += lacking_settings(deployment, settings)
        # A pipeline deploys what it checks out itself.
        release_of(deployment, allow_dirty=deployment.pipeline is not None, complete=False)
    except BuilderError as error:
        problems.append(str(error))
    return problems if deployment.pipeline is None else [*problems, *_problems_of_pipeline(deployment)]


def _problems_of_pipeline(deployment: Deployment) -> list[str]:
    try:
        left = [f"{each.problem} Run '{each.cure}'." for each in leftover_pipelines.beside(deployment.module)]
        files = host_settings.files_that_pipelines_lack(deployment.folder)
        problem = pipeline.problem(deployment)
        return [*files, *filter(None, [problem]), *pipeline.uncommitted(deployment), *left]
    except BuilderError as error:
        return [str(error)]


def _needs_environment(deployment: Deployment, known: Mapping[str, Any]) -> bool:
    """Tell whether the next release of a module has its environment built, as far as is known without that release."""
    own = deployment.environment["kind"] == "venv" and not load_strategy(deployment.strategy).serves
    return own and not known["environments"]


def problems_there(run: HostRun, found: Mapping[str, Any]) -> list[str]:
    """Return what is in the way on a host."""
    problems = []
    try:
        run.refuse_unready()
        run.plan([])
        host_assets.choose(run, {one.names.name: one.env_text() for one in run.target.deployments})
        problems += problems_inside(run)
    except BuilderError as error:
        problems.append(str(error))
    builds = any(_needs_environment(one, found["modules"][one.names.name]) for one in run.target.deployments)
    problems += filter(None, [run.room_lacking(ENVIRONMENT if builds else SPARE)])
    env = host_files.paths(run.target.first.dagster_folder)[env_file.NAME]
    if (found["modes"].get(env) or 0) & 0o077:
        path = run.on_host(env)
        problems.append(f"{run.target}: {path} holds secrets and can be read by others: run 'chmod 600 {path}' there.")
    if found["dagster"].get("daemons") is False:
        problems.append(f"{run.target}: Dagster's daemon is not alive: schedules and sensors stand still.")
    if found["lock"]:
        problems.append(
            f"{run.target}: {found['lock'].get('who')} is deploying there since {found['lock'].get('since')}."
        )
    return problems
