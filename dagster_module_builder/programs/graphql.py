"""Asking a running Dagster webserver: whether it is up, its code locations and runs; reloading code."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
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
        locationOrLoadError { __typename ... on PythonError { message causes { message } } }
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
      locationOrLoadError { __typename ... on PythonError { message causes { message } } }
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


def location_states(url: str) -> dict[str, str | None]:
    """Return the state of every code location of the webserver: None if it is loaded, else the error.

    Raises:
        ToolError: The webserver does not answer, or answers with an error.
    """
    workspace = _checked(_ask(url, _STATES)["workspaceOrError"])
    return {entry["name"]: _state(entry) for entry in workspace["locationEntries"]}


def _state(entry: dict[str, Any]) -> str | None:
    result = entry["locationOrLoadError"]
    if entry["loadStatus"] == "LOADING" or result is None:
        return LOADING
    if result["__typename"] != "PythonError":
        return None
    # Dagster's error only says that code did not load; its last cause says why.
    return " ".join(str(error["message"]).strip() for error in [result, *result["causes"][-1:]])


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
    return _state({"loadStatus": "LOADED", "locationOrLoadError": answer["locationOrLoadError"]})


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


def _ask(url: str, query: str, variables: dict[str, str] | None = None, timeout: float = 30.0) -> dict[str, Any]:
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
