"""Requests to the host's Dagster over GraphQL."""

from __future__ import annotations

import contextlib
import json

from .client import tail
from .errors import RefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

IN_PROGRESS = ("QUEUED", "NOT_STARTED", "MANAGED", "STARTING", "STARTED", "CANCELING")
#: Characters of a location's error that are reported.
LONGEST_ERROR = 1 << 16

LOCATIONS = """{ workspaceOrError { __typename
  ... on Workspace { locationEntries { name loadStatus displayMetadata { key value }
    locationOrLoadError { __typename ... on PythonError { message } } } }
  ... on PythonError { message } } }"""

RELOAD = """mutation { reloadWorkspace { __typename
  ... on PythonError { message } ... on UnauthorizedError { message } } }"""

DAEMONS = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"

RUNS = """query($statuses: [RunStatus!]) { runsOrError(filter: {statuses: $statuses}) { __typename
  ... on Runs { results { runId status tags { key value }
    repositoryOrigin { repositoryLocationName repositoryLocationMetadata { key value } } } } } }"""


class Dagster:
    """The Dagster of this host, over GraphQL."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def ask(self, query: str, variables: dict[str, Any] | None = None, limit: float = 60) -> dict[str, Any]:
        """Return the data that answers a query.

        Raises:
            RefusedError: Dagster does not answer.
        """
        # Without urllib: its import takes longer than the answer, and it might use a proxy.
        from http import client

        scheme, _, rest = self.url.partition("://")
        address, _, path = rest.partition("/")
        kind = client.HTTPSConnection if scheme == "https" else client.HTTPConnection
        body = json.dumps({"query": query, "variables": variables or {}})
        try:
            with contextlib.closing(kind(address, timeout=limit)) as connection:
                target = f"/{path}/graphql" if path else "/graphql"
                connection.request("POST", target, body, {"Content-Type": "application/json"})
                data = json.loads(connection.getresponse().read())
        except (OSError, ValueError, client.HTTPException) as error:
            raise RefusedError("dagster", f"Dagster does not answer at {self.url} on the host: {error}.") from None
        if data.get("errors"):
            raise RefusedError("dagster", f"Dagster at {self.url}: {data['errors'][0].get('message')}")
        answered: dict[str, Any] = data["data"]
        return answered

    def locations(self, limit: float = 60) -> dict[str, Any]:
        """Return each code location's state by its name: see ``state``."""
        workspace = self.ask(LOCATIONS, limit=limit)["workspaceOrError"]
        if workspace["__typename"] != "Workspace":
            raise RefusedError("dagster", f"Dagster cannot read its workspace: {workspace.get('message')}")
        return {entry["name"]: self.state(entry) for entry in workspace["locationEntries"]}

    @staticmethod
    def state(location: dict[str, Any]) -> dict[str, Any]:
        """Return a code location's state: whether it loaded, its error, and the metadata that names its code."""
        result = location["locationOrLoadError"] or {}
        loaded = location["loadStatus"] == "LOADED" and result.get("__typename") == "RepositoryLocation"
        metadata = {entry["key"]: entry["value"] for entry in location["displayMetadata"]}
        return {
            "loaded": loaded,
            "status": location["loadStatus"],
            "error": result["message"][:LONGEST_ERROR] if result.get("message") else None,
            "metadata": metadata,
        }

    def reload(self, limit: float = 180) -> None:
        """Have Dagster read the workspace file again and reload every location."""
        workspace = self.ask(RELOAD, limit=limit)["reloadWorkspace"]
        if workspace["__typename"] != "Workspace":
            raise RefusedError("dagster", f"Dagster did not reload its workspace: {workspace.get('message')}")

    def daemons(self) -> bool:
        """Tell whether every required daemon is healthy."""
        statuses = self.ask(DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
        return all(daemon["healthy"] for daemon in statuses if daemon["required"])

    def runs(self) -> list[dict[str, Any]]:
        """Return the runs in progress: see ``run_of``."""
        runs = self.ask(RUNS, {"statuses": list(IN_PROGRESS)})["runsOrError"]
        return [self.run_of(run) for run in runs.get("results", [])]

    @staticmethod
    def run_of(run: dict[str, Any]) -> dict[str, Any]:
        """Return a run in progress: its ``id``, ``status``, ``location``, and ``code``: a text that names its code."""
        origin = run["repositoryOrigin"] or {}
        where = " ".join(str(entry["value"]) for entry in origin.get("repositoryLocationMetadata") or [])
        return {
            "id": run["runId"],
            "status": run["status"],
            "location": origin.get("repositoryLocationName"),
            "code": where,
        }


def complaint(locations: dict[str, Any], name: str, code: str) -> str | None:
    """Return why a location is not loaded from the code that it should have; None if it is."""
    state = locations.get(name)
    if state is None:
        return f"{name}: not in Dagster"
    if not state["loaded"]:
        return f"{name}: {tail(state['error'] or state['status'])}"
    if code and code not in state["metadata"].values():
        metadata = state["metadata"]
        return f"{name}: still loaded from {metadata.get('working_directory') or metadata.get('release')}"
    return None
