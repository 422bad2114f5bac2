"""What there is on the hosts, seen without changing anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dagster_module_builder.deploy import pipeline
from dagster_module_builder.deploy.each_host import on_hosts
from dagster_module_builder.deploy.hosts.holder import holder
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.deploy.hosts.host_session import Progress
from dagster_module_builder.deploy.log_entries import operations
from dagster_module_builder.deploy.model.deployment import Deployment


def status(
    deployments: Sequence[Deployment], hosts: Sequence[str] = (), progress: Progress = lambda *_: None
) -> list[dict[str, Any]]:
    """Return, for each host, what runs there, since when and by whom, whether Dagster has loaded it, and the lock."""

    def look(run: HostRun) -> dict[str, Any]:
        found = run.inspect(run.target.modules)
        seen = found["dagster"]
        return {
            "dagster": seen.get("error", "answers") + _how_to_start(run, seen),
            "daemon": seen.get("daemons"),
            "lock": found["lock"],
            "unfinished": found["journal"] and not found["lock"],
            "modules": [_module_status(run, one, seen.get("locations", {})) for one in run.target.deployments],
        }

    return on_hosts(deployments, hosts, look, progress)


def _how_to_start(run: HostRun, seen: Mapping[str, Any]) -> str:
    return f" Run 'deploy.setup {run.target.first.name} --start'." if run.has_service and "error" in seen else ""


def _module_status(run: HostRun, deployment: Deployment, locations: Mapping[str, Any]) -> dict[str, Any]:
    found = run.inspection["modules"][deployment.names.name]
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
        found = run.inspect(run.target.modules)["modules"]
        return {"modules": {name: _releases(found[name]) for name in run.target.modules}}

    return on_hosts(deployments, hosts, look)


def _releases(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    state = found["state"]
    role = {state.get("previous"): "previous", state.get("current"): "current"}
    good = [{**record, "release": name, "role": role.get(name, "")} for name, record in found["releases"].items()]
    bad = [{"release": name.partition(".")[0], "role": "bad"} for name in found["bad"]]
    return sorted([*good, *bad], key=lambda one: str(one["release"]), reverse=True)


def log(deployments: Sequence[Deployment], hosts: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return, for each host, what was done there with each module, oldest first."""

    def look(run: HostRun) -> dict[str, Any]:
        run.inspect(run.target.modules)
        asked = run.conversation.ask
        return {"modules": {name: operations(asked("log", module=name)["log"]) for name in run.target.modules}}

    return on_hosts(deployments, hosts, look)


def unlock(deployments: Sequence[Deployment], hosts: Sequence[str] = ()) -> list[dict[str, Any]]:
    """End whoever holds the lock of each host; what they had half done is undone."""

    def look(run: HostRun) -> dict[str, Any]:
        run.inspect(run.target.modules)
        return {"held": run.conversation.ask("unlock", modules=run.target.modules, log=holder("unlock"))["held"]}

    return on_hosts(deployments, hosts, look)
