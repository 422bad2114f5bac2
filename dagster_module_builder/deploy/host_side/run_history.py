"""Runs of code locations, as this host's Dagster knows them, and what happened in them."""

from __future__ import annotations

from .errors import RefusedError
from .log_lines import LONGEST, chosen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .host import Host

#: The tag by which Dagster finds the runs of a location: ``__repository__@sales``.
LABEL = ".dagster/repository"
#: Events asked for at once.
PART = 1000

RUNS = """query($filter: RunsFilter, $limit: Int) { runsOrError(filter: $filter, limit: $limit) { __typename
  ... on Runs { results { runId status jobName startTime endTime creationTime
    assetSelection { path }
    repositoryOrigin { repositoryLocationName repositoryLocationMetadata { key value } } } }
  ... on PythonError { message } } }"""
EVENTS = """query($run: ID!, $after: String, $limit: Int) {
  logsForRun(runId: $run, afterCursor: $after, limit: $limit) { __typename
    ... on EventConnection { cursor hasMore events { __typename
      ... on MessageEvent { timestamp level message stepKey eventType }
      ... on ErrorEvent { error { message stack causes { message stack } } }
      ... on LogsCapturedEvent { fileKey } } }
    ... on PythonError { message } ... on RunNotFoundError { message } } }"""
PRINTED = """query($key: [String!]!, $limit: Int) { capturedLogs(logKey: $key, limit: $limit) { stdout stderr } }"""
REPOSITORIES = """{ repositoriesOrError { __typename ... on RepositoryConnection { nodes { name location { name } } }
  ... on PythonError { message } } }"""


def latest_runs(
    host: Host, locations: list[str], limit: int, statuses: list[str] | None = None, run: str | None = None
) -> dict[str, Any]:
    """Return the latest runs of code locations, the newest first.

    Args:
        host: This host.
        locations: The names of the locations.
        limit: How many of each location.
        statuses: Only those with one of these.
        run: Only the run with this id.
    """
    wanted = [{"runIds": [run]}] if run else [{"tags": [tag]} for tag in labels(host, locations)]
    found: list[dict[str, Any]] = []
    for one in wanted:
        asked = {**one, **({"statuses": statuses} if statuses else {})}
        answer = host.dagster.ask(RUNS, {"filter": asked, "limit": limit})["runsOrError"]
        if answer["__typename"] != "Runs":
            raise RefusedError("dagster", f"Dagster does not list its runs: {answer.get('message')}")
        found += map(run_of, answer["results"])
    return {"runs": sorted(found, key=lambda each: each.pop("made"), reverse=True)}


def labels(host: Host, locations: list[str]) -> list[dict[str, str]]:
    """Return the tag of each repository of these locations; a location that does not load has the usual one."""
    answer = host.dagster.ask(REPOSITORIES).get("repositoriesOrError") or {}
    nodes = answer.get("nodes") or []
    pairs = {(node["location"]["name"], node["name"]) for node in nodes if node["location"]["name"] in locations}
    known = {location for location, _ in pairs}
    pairs |= {(location, "__repository__") for location in locations if location not in known}
    return [{"key": LABEL, "value": f"{name}@{location}"} for location, name in sorted(pairs)]


def run_of(run: dict[str, Any]) -> dict[str, Any]:
    """Return a run in short; ``made`` is when it was made, by which runs are sorted."""
    origin = run.get("repositoryOrigin") or {}
    metadata = {entry["key"]: entry["value"] for entry in origin.get("repositoryLocationMetadata") or []}
    return {
        "id": run["runId"],
        "status": run["status"],
        "job": run["jobName"],
        "assets": ["/".join(key["path"]) for key in run.get("assetSelection") or []],
        "begun": run.get("startTime"),
        "ended": run.get("endTime"),
        "location": origin.get("repositoryLocationName"),
        "release": release_of(metadata),
        "made": run.get("creationTime") or 0,
    }


def release_of(metadata: dict[str, Any]) -> str | None:
    """Return the release that a run's code is from: the folder behind ``releases`` in the location's metadata."""
    for value in map(str, metadata.values()):
        _, found, rest = value.partition("/releases/")
        if found:
            return rest.partition("/")[0]
    return None


def run_events(
    host: Host, run: str, cursor: str | None, level: str, text: str, since: float | None, most: int
) -> dict[str, Any]:
    """Return the events of a run after a cursor; without one, the newest of all that are wanted.

    Returns:
        ``entries``; ``cursor`` for the next call; ``more``: whether there are more already.
    """
    found: list[dict[str, Any]] = []
    more = True
    while more:
        host.client.check()
        answer = host.dagster.ask(EVENTS, {"run": run, "after": cursor, "limit": PART})["logsForRun"]
        if answer["__typename"] != "EventConnection":
            raise RefusedError("run", f"Dagster has no log of run {run}: {answer.get('message')}")
        found = [*found, *(entry_of(run, event) for event in answer["events"] if "timestamp" in event)]
        found = [*chosen(found, level, text, since, most)]
        cursor, more = answer["cursor"], answer["hasMore"]
    return {"entries": found, "cursor": cursor, "more": more}


def entry_of(run: str, event: dict[str, Any]) -> dict[str, Any]:
    """Return an event as an entry of a log; an error with its causes."""
    step = f"{event['stepKey']}: " if event.get("stepKey") else ""
    error = event.get("error")
    words = [event["message"] or event.get("eventType") or ""]
    for each in [error, *error.get("causes", [])] if error else []:
        words += [each["message"].rstrip(), *(line.rstrip() for line in each.get("stack") or [])]
    level = "ERROR" if error or "FAILURE" in str(event.get("eventType")) else event["level"]
    return {
        "time": float(event["timestamp"]) / 1000,
        "source": f"run {run[:8]}",
        "level": level,
        "text": (step + "\n".join(filter(None, words)))[:LONGEST],
    }


def printed(host: Host, run: str) -> dict[str, Any]:
    """Return what a run's steps printed, as far as this host's Dagster keeps it."""
    answer = host.dagster.ask(EVENTS, {"run": run, "after": None, "limit": PART})["logsForRun"]
    found = []
    for event in answer.get("events", []):
        if "fileKey" not in event:
            continue
        key = [run, "compute_logs", event["fileKey"]]
        texts = host.dagster.ask(PRINTED, {"key": key, "limit": 1 << 20})["capturedLogs"] or {}
        for name, level in (("stdout", "INFO"), ("stderr", "INFO")):
            if texts.get(name):
                text = texts[name][-LONGEST * 10 :].rstrip()
                found.append({"time": None, "source": f"run {run[:8]} {name}", "level": level, "text": text})
    return {"entries": found}
