"""The state of the hosts: what runs there, releases, log and lock."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dagster_module_builder.deploy import pipeline
from dagster_module_builder.deploy.each_host import on_hosts
from dagster_module_builder.deploy.hosts.holder import holder
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.deploy.hosts.host_session import Progress
from dagster_module_builder.deploy.log_entries import operations
from dagster_module_builder.deploy.model.deployment import Deployment

#: What gRPC says in the middle of its pages: ``details = "failed to connect to all addresses"``.
_DETAILS = re.compile(r'^\s*details = "(.+)"$', re.MULTILINE)


def status(
    deployments: Sequence[Deployment], hosts: Sequence[str] = (), progress: Progress = lambda *_: None
) -> list[dict[str, Any]]:
    """Return, for each host, what runs there, since when and by whom, whether Dagster has loaded it, and the lock."""

    def look(run: HostRun) -> dict[str, Any]:
        inspection = run.inspect(run.target.modules)
        seen = inspection["dagster"]
        return {
            "dagster": seen.get("error", "answers") + _how_to_start(run, seen),
            "daemon": seen.get("daemons"),
            "lock": inspection["lock"],
            "unfinished": inspection["journal"] and not inspection["lock"],
            "modules": [
                _module_status(run, deployment, seen.get("locations", {})) for deployment in run.target.deployments
            ],
        }

    return on_hosts(deployments, hosts, look, progress)


def _how_to_start(run: HostRun, seen: Mapping[str, Any]) -> str:
    return f" Run 'deploy.setup {run.target.first.name} --start'." if run.has_service and "error" in seen else ""


def _module_status(run: HostRun, deployment: Deployment, locations: Mapping[str, Any]) -> dict[str, Any]:
    module = run.inspection["modules"][deployment.names.name]
    state, location = module["state"], locations.get(deployment.names.snake)
    current = state.get("current")
    record = module["releases"].get(current, {})
    if location is None:
        loaded = "not in Dagster"
    elif not location["loaded"]:
        loaded = reason(location["error"] or location["status"])
    else:
        is_current = any(f"/releases/{current}/" in f"{value}/" for value in location["metadata"].values())
        loaded = "loaded" if is_current else "loaded from elsewhere"
    return {
        "module": deployment.names.name,
        "release": current,
        "previous": state.get("previous"),
        "commit": record.get("commit"),
        "dirty": record.get("dirty"),
        "since": state.get("since"),
        "by": state.get("by"),
        "location": loaded,
        "error": (location or {}).get("error"),
        "strategy": deployment.strategy,
        "pipeline": None if deployment.pipeline is None else pipeline.summary(deployment),
        "image": record.get("image"),
        "servers": module["servers"],
    }


def reason(error: str) -> str:
    r"""Return the line of an error that says why: of gRPC's pages, that is its ``details``.

    >>> reason('Traceback:\n  line\nValueError: no such shop\n')
    'ValueError: no such shop'
    >>> reason('_InactiveRpcError: <_InactiveRpcError of RPC:\n\tdetails = "connection refused"\n\tdebug = "…"\n>')
    'connection refused'
    """
    if details := _DETAILS.search(error):
        return details[1].strip()
    lines = [line.strip() for line in error.splitlines() if line.strip(" \t<>")]
    return lines[-1] if lines else "not loaded"


def releases(deployments: Sequence[Deployment], hosts: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return, for each host, the releases of each module, newest first."""

    def look(run: HostRun) -> dict[str, Any]:
        modules = run.inspect(run.target.modules)["modules"]
        return {"modules": {name: _releases(modules[name]) for name in run.target.modules}}

    return on_hosts(deployments, hosts, look)


def _releases(module: Mapping[str, Any]) -> list[dict[str, Any]]:
    state = module["state"]
    role = {state.get("previous"): "previous", state.get("current"): "current"}
    good = [{**record, "release": name, "role": role.get(name, "")} for name, record in module["releases"].items()]
    bad = [{"release": name.partition(".")[0], "role": "bad"} for name in module["bad"]]
    return sorted([*good, *bad], key=lambda record: str(record["release"]), reverse=True)


def log(deployments: Sequence[Deployment], hosts: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return, for each host, what was done there with each module, oldest first."""

    def look(run: HostRun) -> dict[str, Any]:
        run.inspect(run.target.modules)
        asked = run.conversation.ask
        return {"modules": {name: operations(asked("log", module=name)["log"]) for name in run.target.modules}}

    return on_hosts(deployments, hosts, look)


def unlock(deployments: Sequence[Deployment], hosts: Sequence[str] = ()) -> list[dict[str, Any]]:
    """End the deployment that holds the lock of each host, and undo its unfinished work."""

    def look(run: HostRun) -> dict[str, Any]:
        run.inspect(run.target.modules)
        return {"held": run.conversation.ask("unlock", modules=run.target.modules, log=holder("unlock"))["held"]}

    return on_hosts(deployments, hosts, look)
