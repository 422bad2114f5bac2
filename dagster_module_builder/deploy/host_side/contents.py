"""What a module's current release holds, as this host knows it: its definitions, and the packages that it runs with."""

from __future__ import annotations

import json
import os

from .errors import RefusedError
from .files import read, read_json
from .host import STATE
from .programs import run_where
from .servers import current_server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .host import Host

DEFINITIONS = """query($name: String!) { workspaceLocationEntryOrError(name: $name) { __typename
  ... on WorkspaceLocationEntry { locationOrLoadError { __typename
    ... on RepositoryLocation { repositories { name
      assetNodes { assetKey { path } dependencyKeys { path } groupName opVersion isPartitioned jobNames
        assetChecksOrError { __typename ... on AssetChecks { checks { name blocking } } } }
      schedules { name cronSchedule executionTimezone pipelineName }
      sensors { name sensorType targets { pipelineName } }
      allTopLevelResourceDetails { name resourceType } } } } } } }"""
#: Prints the packages of the Python that runs it.
PACKAGES = (
    "import json; from importlib.metadata import distributions; "
    "print('packages: ' + json.dumps({one.metadata['Name']: one.version for one in distributions()}))"
)


def running(host: Host, module: str, location: str, python: str, where: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return what a module's current release holds.

    Args:
        host: This host.
        module: The module.
        location: Its code location.
        python: The interpreter of the release, as Dagster sees it.
        where: How to get into Dagster's container; None for this host.

    Returns:
        ``definitions``, by kind and name, and ``packages`` with their versions: None for what cannot be told; and the
        text of ``pyproject``, None if the release's files are in an image.
    """
    release = read_json(host.of(module, STATE), {}).get("current")
    project = read(os.path.join(host.release(module, str(release)), "pyproject.toml"))
    return {
        "definitions": definitions(host, location),
        "packages": packages(host, module, python, where),
        "pyproject": None if project is None else project.decode("utf-8", "replace"),
    }


def defined(host: Host, modules: dict[str, str]) -> dict[str, Any]:
    """Return the definitions of modules as the host's Dagster has loaded them.

    Args:
        host: This host.
        modules: Each module's code location.

    Returns:
        ``definitions``: by module, kind and name; None for a module of which Dagster does not tell them.
    """
    return {"definitions": {module: definitions(host, location) for module, location in modules.items()}}


def packages(host: Host, module: str, python: str, where: dict[str, Any] | None) -> dict[str, str] | None:
    """Return the packages that a module's current release runs with; None if they cannot be told."""
    server = current_server(host, module)
    if server:
        status, said = host.client.run(["docker", "exec", server, "python", "-c", PACKAGES], limit=60)
    else:
        program = python if where else os.path.expanduser(python)
        status, said = run_where(host, where, [program, "-c", PACKAGES], host.modules, 60, {})
    lines = [line for line in said.splitlines() if line.startswith("packages: ")]
    if status or not lines:
        return None
    found: dict[str, str] = json.loads(lines[-1].partition(" ")[2])
    return found


def definitions(host: Host, location: str) -> dict[str, Any] | None:
    """Return a location's definitions as the host's Dagster has loaded them; None if it does not tell."""
    try:
        answer = host.dagster.ask(DEFINITIONS, {"name": location})
    except RefusedError:
        return None
    entry = answer.get("workspaceLocationEntryOrError") or {}
    found: dict[str, dict[str, Any]] = {}
    for repository in (entry.get("locationOrLoadError") or {}).get("repositories") or []:
        for kind, named in of_repository(repository).items():
            found.setdefault(kind, {}).update(named)
    return found or None


def of_repository(repository: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return a repository's definitions by kind and name, in the form in which a module's own are loaded elsewhere."""
    assets = {"/".join(node["assetKey"]["path"]): node for node in repository["assetNodes"]}
    jobs: dict[str, list[str]] = {}
    for name, node in assets.items():
        for job in node["jobNames"]:
            if not job.startswith("__"):
                jobs.setdefault(job, []).append(name)
    checks = {
        f"{name}:{check['name']}": {"blocking": check["blocking"]}
        for name, node in assets.items()
        for check in node["assetChecksOrError"].get("checks") or []
    }
    return {
        "assets": {name: asset(node) for name, node in assets.items()},
        "checks": checks,
        "jobs": {name: {"assets": sorted(members)} for name, members in jobs.items()},
        "schedules": {
            one["name"]: {
                "cron": one["cronSchedule"],
                "timezone": one.get("executionTimezone") or "UTC",
                "job": named(one["pipelineName"]),
            }
            for one in repository["schedules"]
        },
        "sensors": {
            one["name"]: {
                "type": one["sensorType"],
                "jobs": sorted(named(target["pipelineName"]) for target in one.get("targets") or []),
            }
            for one in repository["sensors"]
        },
        "resources": {one["name"]: {"type": one["resourceType"]} for one in repository["allTopLevelResourceDetails"]},
    }


def asset(node: dict[str, Any]) -> dict[str, Any]:
    """Return what is compared of an asset."""
    return {
        "deps": sorted("/".join(key["path"]) for key in node["dependencyKeys"]),
        "group": node["groupName"],
        "code version": node["opVersion"],
        "partitioned": node["isPartitioned"],
    }


def named(job: str) -> str:
    """Return a job's name; empty for one that Dagster makes for chosen assets."""
    return "" if job.startswith("__") else job
