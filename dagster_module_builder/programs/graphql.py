"""Asking a running Dagster webserver: whether it is up, its code locations and runs; reloading code."""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import yaml

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.shared_files.formats.yaml_text import parsed

#: Only webservers on this machine are asked, so ``http_proxy`` is ignored.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

_STATES = """
query {
  workspaceOrError {
    __typename
    ... on PythonError { message }
    ... on Workspace {
      locationEntries {
        name
        loadStatus
        updatedTimestamp
        locationOrLoadError {
          __typename
          ... on PythonError { className message stack causes { className message stack } }
        }
      }
    }
  }
}
"""

_RELOAD = """
mutation {
  reloadWorkspace {
    __typename
    ... on UnauthorizedError { message }
    ... on PythonError { message }
  }
}
"""

_RELOAD_LOCATION = """
mutation ($name: String!) {
  reloadRepositoryLocation(repositoryLocationName: $name) {
    __typename
    ... on UnauthorizedError { message }
    ... on ReloadNotSupported { message }
    ... on RepositoryLocationNotFound { message }
    ... on PythonError { message }
    ... on WorkspaceLocationEntry {
      locationOrLoadError {
        __typename
        ... on PythonError { className message stack causes { className message stack } }
      }
    }
  }
}
"""

_RUNS = """
query {
  runsOrError(filter: {statuses: [STARTING, STARTED, CANCELING]}, limit: 100) {
    __typename
    ... on Runs { results { runId } }
    ... on PythonError { message }
  }
}
"""

#: What a webserver says of a code server that has gone: pages of gRPC, without a reason.
_OF_GRPC = "_InactiveRpcError"
_FRAME = re.compile(r'^  File "(.+)", line (\d+)', re.MULTILINE)

_ASSETS = """
query {
  assetNodes { assetKey { path } repository { location { name } } }
}
"""

_MATERIALIZATIONS = """
query ($keys: [AssetKeyInput!]!) {
  assetsLatestInfo(assetKeys: $keys) { assetKey { path } latestMaterialization { timestamp } }
}
"""

_INSTANCE = "query { instance { info } }"


#: The state of a location that is still being loaded.
LOADING = "is still being loaded"


def is_up(url: str, timeout: float = 2.0) -> bool:
    """Return whether a Dagster webserver answers at ``url`` (``http://127.0.0.1:3000``) within ``timeout`` seconds."""
    try:
        with _opener.open(f"{url}/server_info", timeout=timeout) as answer:
            return "dagster_webserver_version" in json.load(answer)
    except (OSError, ValueError, http.client.HTTPException):
        return False


def instance_folder(url: str) -> str | None:
    """Return the folder of the webserver's instance (``DAGSTER_HOME``, or the one that ``dagster.yaml`` sets).

    Returns:
        None if the webserver does not say, or does not answer.
    """
    try:
        info = parsed(_ask(url, _INSTANCE)["instance"]["info"])
        return str(info["local_artifact_storage"]["config"]["base_dir"])
    except (ToolError, yaml.YAMLError, LookupError, TypeError, AttributeError):
        return None


def loaded_at(url: str) -> dict[str, datetime]:
    """Return when the webserver last loaded each code location.

    Raises:
        ToolError: The webserver does not answer, or answers with an error.
    """
    workspace = _checked(_ask(url, _STATES)["workspaceOrError"])
    times = {entry["name"]: float(entry["updatedTimestamp"]) for entry in workspace["locationEntries"]}
    return {name: datetime.fromtimestamp(time, timezone.utc) for name, time in times.items()}


@dataclass(frozen=True)
class LoadError:
    """Why a code location does not load.

    Attributes:
        text: The innermost error, in one line: ``ValueError: no such shop``.
        frames: The ``(file, line)`` of its traceback; the last one raised it.
    """

    text: str
    frames: tuple[tuple[str, int], ...] = ()


def load_errors(url: str) -> dict[str, LoadError | None]:
    """Return why each code location of the webserver does not load: None if it does; an unfinished one has no frames.

    Raises:
        ToolError: The webserver does not answer, or answers with an error.
    """
    workspace = _checked(_ask(url, _STATES)["workspaceOrError"])
    return {entry["name"]: _load_error(entry) for entry in workspace["locationEntries"]}


def location_states(url: str) -> dict[str, str | None]:
    """Return the state of every code location of the webserver: None if it is loaded, else the error.

    Raises:
        ToolError: The webserver does not answer, or answers with an error.
    """
    return {name: error.text if error else None for name, error in load_errors(url).items()}


def _load_error(entry: dict[str, Any]) -> LoadError | None:
    result = entry["locationOrLoadError"]
    if entry["loadStatus"] == "LOADING" or result is None:
        return LoadError(LOADING)
    return _innermost(result) if result["__typename"] == "PythonError" else None


def _innermost(result: dict[str, Any]) -> LoadError:
    """Return the error that says why: Dagster's own, around it, only says that code did not load."""
    chain = [result, *result["causes"]]
    error = next((each for each in reversed(chain) if each["className"] != _OF_GRPC), result)
    lines = [line.strip() for line in str(error["message"]).splitlines() if line.strip()] or [str(error["className"])]
    # A syntax error begins with its place.
    named = [line for line in lines if line.partition(":")[0].rpartition(".")[2] == error["className"]]
    frames = _FRAME.findall("".join(error["stack"]) + "\n" + str(error["message"]))
    return LoadError((named or lines[-1:])[0], tuple((file, int(line)) for file, line in frames))


def last_materializations(url: str) -> dict[str, datetime]:
    """Return when an asset of each loaded code location was last materialized, by location.

    Raises:
        ToolError: The webserver does not answer, or is too old to be asked this.
    """
    locations: dict[tuple[str, ...], list[str]] = {}
    for node in _ask(url, _ASSETS)["assetNodes"]:
        locations.setdefault(tuple(node["assetKey"]["path"]), []).append(node["repository"]["location"]["name"])
    keys = [{"path": list(key)} for key in locations]
    latest: dict[str, datetime] = {}
    for asset in _ask(url, _MATERIALIZATIONS, {"keys": keys})["assetsLatestInfo"] if keys else ():
        if materialization := asset["latestMaterialization"]:
            # The API gives milliseconds, as text.
            time = datetime.fromtimestamp(float(materialization["timestamp"]) / 1000, timezone.utc)
            for name in locations[tuple(asset["assetKey"]["path"])]:
                latest[name] = max(latest.get(name, time), time)
    return latest


def reload_workspace(url: str) -> None:
    """Make the webserver read its workspace file again, which adds and removes locations.

    Raises:
        ToolError: The webserver does not answer, or refuses.
    """
    _checked(_ask(url, _RELOAD, timeout=120)["reloadWorkspace"])


def reload_location(url: str, name: str) -> str | None:
    """Make the webserver reload one location's code; return None, or the error.

    Raises:
        ToolError: The webserver does not answer, or has no such location.
    """
    answer = _checked(_ask(url, _RELOAD_LOCATION, {"name": name}, timeout=120)["reloadRepositoryLocation"])
    error = _load_error({"loadStatus": "LOADED", "locationOrLoadError": answer["locationOrLoadError"]})
    return error.text if error else None


def runs_in_progress(url: str) -> list[str]:
    """Return the ids of the runs that are starting, running or being cancelled.

    Raises:
        ToolError: The webserver does not answer.
    """
    return [str(run["runId"]) for run in _checked(_ask(url, _RUNS)["runsOrError"])["results"]]


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    if "message" in answer:
        raise ToolError(f"Dagster's webserver refused the request: {answer['message']}")
    return answer


def _ask(url: str, query: str, variables: Mapping[str, Any] | None = None, timeout: float = 30.0) -> dict[str, Any]:
    body = json.dumps({"query": query, "variables": variables or {}}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})  # noqa: S310
    try:
        with _opener.open(request, timeout=timeout) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        raise ToolError(f"Dagster's webserver at {url} answers with status {error.code}.") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ToolError(f"Dagster's webserver at {url} does not answer: {error}") from error
    if answer.get("errors"):
        raise ToolError(f"Dagster's webserver at {url} refused the request: {answer['errors'][0].get('message')}")
    return dict(answer["data"])
