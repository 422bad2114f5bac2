"""Prepares hosts for their first deployment."""

from __future__ import annotations

import base64
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.deploy.connection.conversation import HostRefusedError
from dagster_module_builder.deploy.each_host import on_hosts
from dagster_module_builder.deploy.hosts import host_dagster, host_files
from dagster_module_builder.deploy.hosts.holder import holder
from dagster_module_builder.deploy.hosts.host_containers import problems_inside
from dagster_module_builder.deploy.hosts.host_requests import SPARE
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.deploy.hosts.host_session import Progress
from dagster_module_builder.deploy.model.deployment import Deployment
from dagster_module_builder.deploy.strategies.base import load_strategy
from dagster_module_builder.shared_files.formats import workspace_yaml
from dagster_module_builder.templating.rendering import render
from dagster_module_builder.templating.template_folders import WORKSPACE_TEMPLATE

#: Dagster's folder in the workspace template, and the workspace's path in its containers.
SERVICES = "services/dagster"
INSIDE = "/workspace"
#: The launcher that makes a container for each run, as named in deployment.yaml and the workspace template.
DOCKER = "docker"

_EMPTY = b"# The code locations of this host; each deployed module has its marked lines here.\nload_from: []\n"


def set_up(
    deployments: Sequence[Deployment],
    hosts: Sequence[str] = (),
    *,
    start: bool = False,
    stop: bool = False,
    ends_runs: bool = False,
    progress: Progress = lambda *_: None,
) -> list[dict[str, Any]]:
    """Prepare every host: folders, tools, and the files of a Dagster if there is none. Nothing existing is changed.

    Args:
        deployments: The deployments.
        hosts: Only these hosts; all of them if empty.
        start: Make and start that Dagster: its containers, or its environment and its processes.
        stop: Stop that Dagster instead; change nothing else.
        ends_runs: Stop it even while runs are in progress.
        progress: Told which step each host is in.
    """

    def work(run: HostRun) -> dict[str, Any]:
        return _stopped(run, ends_runs=ends_runs) if stop else _set_up(run, start=start)

    return on_hosts(deployments, hosts, work, progress)


def _set_up(run: HostRun, *, start: bool) -> dict[str, Any]:
    run.report("connect")
    run.conversation.open()
    made = run.conversation.ask("layout", base=run.target.host.base_path)["made"]
    inspection = _inspect(run, takes_lock=start)
    _refuse_lacking(run, inspection)
    if start:
        _refuse_foreign(run, inspection)
    files = _put_dagster(run, inspection)
    notes = [_what_next(run, inspection)] if "error" in inspection["dagster"] else problems_inside(run)
    if start and run.target.first.kind == "native":
        more, notes = host_dagster.start(run)
        files += more
    elif start and (files or ("error" in inspection["dagster"] and _is_ours(run.target.first))):
        _start(run)
        notes = []
    run.report("done")
    return {"made": made or bool(files), "files": files, "notes": notes}


def _inspect(run: HostRun, *, takes_lock: bool) -> dict[str, Any]:
    """Return the host's state; with the lock if Dagster will be started or stopped."""
    tools = sorted(
        {tool for deployment in run.target.deployments for tool in load_strategy(deployment.strategy).tools_there}
    )
    asked = run.opening([], tools, holder() if takes_lock else None, 0.0)
    if run.target.first.kind == "native":
        asked["pythons"] = sorted({*asked["pythons"], host_dagster.interpreter(run)})
    run.inspection = run.conversation.ask("open", **asked)
    return run.inspection


def _refuse_foreign(run: HostRun, inspection: dict[str, Any]) -> None:
    """Refuse an address at which a Dagster of another folder answers."""
    path = host_files.paths(run.target.first.dagster_folder)[workspace_yaml.NAME]
    if inspection["files"][path] is None and "error" not in inspection["dagster"]:
        raise RefusedError(
            f"{run.target}: another Dagster answers at {run.target.host.url}, since there is no {run.on_host(path)}. "
            f"Set 'url:' below 'dagster:' in deployment.yaml to a free port."
        )


def _stopped(run: HostRun, *, ends_runs: bool) -> dict[str, Any]:
    run.report("connect")
    run.conversation.open()
    _inspect(run, takes_lock=True)
    is_native = run.target.first.kind == "native"
    notes = host_dagster.stop(run, ends_runs=ends_runs) if is_native else _stop_containers(run)
    run.report("done")
    return {"made": False, "files": [], "notes": notes}


def _stop_containers(run: HostRun) -> list[str]:
    if not _is_ours(run.target.first):
        return ["'deploy.setup --start' did not start a Dagster there: nothing was stopped."]
    run.report("stop")
    answer = run.conversation.ask("run", command=["docker", "compose", "stop"], cwd=run.on_host(SERVICES), limit=600)
    if answer["code"]:
        raise RefusedError(f"{run.target}: docker compose stop failed: {answer['said'][-2000:]}")
    return ["Stopped Dagster's containers."]


def preview(
    deployments: Sequence[Deployment], hosts: Sequence[str] = (), *, start: bool = False
) -> list[dict[str, Any]]:
    """Return, for each host, what ``set_up`` would do there; nothing is changed."""
    return on_hosts(deployments, hosts, lambda run: {"would": _planned(run, start=start)})


def _planned(run: HostRun, *, start: bool) -> list[str]:
    deployment, base = run.target.first, run.target.host.base_path
    path = host_files.paths(deployment.dagster_folder)[workspace_yaml.NAME]
    run.conversation.open()
    steps = []
    try:
        if _inspect(run, takes_lock=False)["files"][path] is None:
            steps.append(f"Would put Dagster's files into {run.on_host(deployment.dagster_folder)}")
    except HostRefusedError as error:
        if error.code != "setup":
            raise
        steps.append(f"Would make {base}/modules, and put Dagster's files into {base}")
    if start and deployment.kind == "native":
        return [*steps, *host_dagster.planned(run)]
    return [*steps, "Would build and start Dagster's containers"] if start and steps else steps


def _refuse_lacking(run: HostRun, inspection: dict[str, Any]) -> None:
    lacking = [name for name, path in inspection["tools"].items() if path is None]
    if lacking:
        raise RefusedError(f"{run.target}: {', '.join(lacking)} is not installed on the host: install it.")
    if inspection["docker"]:
        raise RefusedError(f"{run.target}: Docker cannot be used by {inspection['user']!r}: {inspection['docker']}")
    if not inspection["writable"]:
        raise RefusedError(f"{run.target}: {inspection['user']!r} may not write to {inspection['base']}.")
    if lacking_room := run.room_lacking(SPARE):
        raise RefusedError(lacking_room)


def _what_next(run: HostRun, inspection: dict[str, Any]) -> str:
    folder = run.on_host(run.target.first.dagster_folder)
    if run.target.first.kind == "compose":
        return f"Start Dagster on the host: cd {folder} && docker compose up --build --detach --wait (or pass --start)."
    return (
        f"{inspection['dagster']['error']} Start Dagster in {folder}, beside workspace.yaml, or run "
        f"'deploy.setup {run.target.first.name} --start', which makes and starts one."
    )


def _put_dagster(run: HostRun, inspection: dict[str, Any]) -> list[str]:
    """Write the files of our Dagster, unless there is one; return the paths."""
    deployment = run.target.first
    path = host_files.paths(deployment.dagster_folder)[workspace_yaml.NAME]
    if inspection["files"][path] is not None:
        return []
    run.report("Dagster")
    files = {path: (_EMPTY, 0o644)} if deployment.kind == "native" else _workspace_files(run, inspection)
    made = []
    for name, (text, mode) in files.items():
        answer = run.conversation.ask("write", path=name, text=base64.b64encode(text).decode(), mode=mode)
        made += [name] if answer["made"] else []
    return made


def _is_ours(deployment: Deployment) -> bool:
    """Tell whether a deployment uses the containers that ``deploy.setup`` makes."""
    return deployment.dagster_folder == SERVICES and deployment.data["dagster"].get("base_inside") == INSIDE


def _workspace_files(run: HostRun, inspection: dict[str, Any]) -> dict[str, tuple[bytes, int]]:
    """Return the files of our workspace for this host, with their modes."""
    deployment = run.target.first
    if not _is_ours(deployment):
        raise RefusedError(
            f"{run.target}: there is no Dagster in {run.on_host(deployment.dagster_folder)}. Start yours there; or, to "
            f"get one made, set 'folder: {SERVICES}' and 'base_inside: {INSIDE}' below 'dagster:' in deployment.yaml."
        )
    chosen = deployment.data["dagster"]
    port = re.search(r":(\d+)", run.target.host.url.partition("://")[2])
    answers = {
        "name": "workspace",
        # What serves a release here is chosen by the deployment; hosts have a Dagster for each client.
        "isolation": "none",
        "project": re.sub(r"[^a-z0-9-]+", "-", f"dagster-{deployment.name}"),
        "network": str(deployment.data.get("network") or "workspace-net"),
        "port": port[1] if port else "80",
        **{name: str(chosen[name]) for name in ("python_image", "postgres_image") if chosen.get(name)},
    }
    surroundings = {"WORKSPACE_OWNER": f"{inspection['uid']}:{inspection['gid']}", "WORKSPACE_ROOT": run.base}
    if chosen.get("run_launcher") == DOCKER:
        answers["run_launcher"] = DOCKER
        surroundings |= _engine_of(run)
    with tempfile.TemporaryDirectory() as folder:
        made = render(WORKSPACE_TEMPLATE, answers, Path(folder), surroundings)
        files = [path for path in sorted(made.rglob("*")) if path.is_file()]
        return {str(path.relative_to(made)): (path.read_bytes(), path.stat().st_mode & 0o777) for path in files}


def _engine_of(run: HostRun) -> dict[str, str]:
    """Return the socket of the host's engine and its group, for the containers that start runs in containers.

    Raises:
        RefusedError: A deployment has its own code server, which runs its own runs; or there is no such socket.
    """
    serving = [
        deployment.names.name for deployment in run.target.deployments if load_strategy(deployment.strategy).serves
    ]
    if serving:
        raise RefusedError(
            f"{run.target}: {', '.join(serving)} has its own code server, which runs its runs, so 'run_launcher: "
            f"{DOCKER}' cannot be used: remove it from deployment.yaml."
        )
    command = ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
    endpoint = run.conversation.ask("run", command=command)["said"].strip().splitlines()[-1]
    socket = endpoint.removeprefix("unix://")
    answer = run.conversation.ask("run", command=["stat", "--dereference", "--format", "%g", socket])
    if not socket.startswith("/") or answer["code"]:
        raise RefusedError(
            f"{run.target}: runs in containers need an engine with a local socket, but the host's is at {endpoint}: "
            f"remove 'run_launcher: {DOCKER}' from deployment.yaml."
        )
    return {"DOCKER_SOCKET": socket, "DOCKER_GROUP": answer["said"].strip()}


def _start(run: HostRun) -> None:
    """Build and start Dagster's containers."""
    run.report("start")
    folder = run.on_host(SERVICES)
    for command in (["docker", "compose", "build"], ["docker", "compose", "up", "--detach", "--wait"]):
        answer = run.conversation.ask("run", command=command, cwd=folder, limit=1800)
        if answer["code"]:
            raise RefusedError(f"{run.target}: {' '.join(command)} failed: {answer['said'][-2000:]}")
