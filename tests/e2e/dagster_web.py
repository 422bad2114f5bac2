"""Dagster's webserver over GraphQL, with what the tests ask of it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

REPOSITORY = "__repository__"
ALL_ASSETS = "__ASSET_JOB"

LOCATIONS = """
query {
  workspaceOrError {
    ... on Workspace {
      locationEntries {
        name
        loadStatus
        locationOrLoadError { __typename ... on PythonError { message } }
      }
    }
  }
}
"""

ASSETS = """
query {
  assetNodes { assetKey { path } groupName isMaterializable repository { location { name } } }
}
"""

LAUNCH = """
mutation ($parameters: ExecutionParams!) {
  launchRun(executionParams: $parameters) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on InvalidSubsetError { message }
    ... on PipelineNotFoundError { message }
  }
}
"""

RUNS = """
query {
  runsOrError { ... on Runs { results { runId status tags { key value } } } }
}
"""

RUN_LOG = """
query ($run: ID!) {
  logsForRun(runId: $run) {
    ... on EventConnection {
      events { ... on MessageEvent { message } ... on ErrorEvent { error { message causes { message } } } }
    }
  }
}
"""

START_SCHEDULE = """
mutation ($schedule: ScheduleSelector!) {
  startSchedule(scheduleSelector: $schedule) { __typename ... on PythonError { message } }
}
"""

SCHEDULE = """
query ($schedule: ScheduleSelector!) {
  scheduleOrError(scheduleSelector: $schedule) { ... on Schedule { id scheduleState { selectorId } } }
}
"""

STOP_SCHEDULE = """
mutation ($id: String) {
  stopRunningSchedule(id: $id) { __typename ... on PythonError { message } }
}
"""

RELOAD_LOCATION = """
mutation ($location: String!) {
  reloadRepositoryLocation(repositoryLocationName: $location) { __typename }
}
"""

DAEMONS = """
query { instance { daemonHealth { allDaemonStatuses { daemonType healthy required } } } }
"""

FINISHED = frozenset({"SUCCESS", "FAILURE", "CANCELED"})


class NotInTimeError(AssertionError):
    """Something did not become true; the text says what was seen last."""


def await_that(seen: Callable[[], T], within_s: float, what: str) -> T:
    """Return the first true value of ``seen``, which is called twice a second.

    Raises:
        NotInTimeError: There was none within ``within_s`` seconds.
    """
    end = time.monotonic() + within_s
    while not (value := seen()):
        if time.monotonic() > end:
            raise NotInTimeError(f"{what}: not within {within_s:.0f} s; seen last: {value!r}")
        time.sleep(0.5)
    return value


@dataclass(frozen=True)
class Run:
    """A run as the webserver knows it."""

    id: str
    status: str
    tags: dict[str, str]


@dataclass(frozen=True)
class Dagster:
    """A running webserver."""

    url: str

    def query(self, text: str, **variables: Any) -> Any:
        """Return the data that a GraphQL query or mutation answers with."""
        body = json.dumps({"query": text, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            result = json.load(answer)
        assert not result.get("errors"), result["errors"]
        return result["data"]

    def answers(self) -> bool:
        """Tell whether the webserver is there."""
        try:
            with urllib.request.urlopen(f"{self.url}/server_info", timeout=5):
                return True
        except (OSError, urllib.error.URLError):
            return False

    def locations(self) -> dict[str, str | None]:
        """Return each code location with its load error, if it has one; "LOADING" while it loads."""
        entries = self.query(LOCATIONS)["workspaceOrError"]["locationEntries"]
        return {entry["name"]: _load_error(entry) for entry in entries}

    def await_locations(self, *names: str, within_s: float = 180) -> None:
        """Wait until exactly these locations are loaded without an error."""
        wanted = dict.fromkeys(names)
        await_that(lambda: self.locations() == wanted or None, within_s, f"locations {names}, not {self.locations()}")

    def assets(self, location: str | None = None) -> list[tuple[str, ...]]:
        """Return the keys of all assets that can be materialized, or of one location's."""
        nodes = self.query(ASSETS)["assetNodes"]
        return sorted(
            tuple(node["assetKey"]["path"])
            for node in nodes
            if node["isMaterializable"] and location in (None, node["repository"]["location"]["name"])
        )

    def launch(self, location: str) -> str:
        """Start a run of all assets of a location, and return the run's id."""
        keys = [{"path": list(path)} for path in self.assets(location)]
        selector = {"repositoryLocationName": location, "repositoryName": REPOSITORY, "jobName": ALL_ASSETS}
        parameters = {"selector": {**selector, "assetSelection": keys}, "runConfigData": {}}
        answer = self.query(LAUNCH, parameters=parameters)["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def materialize(self, location: str, within_s: float = 300) -> str:
        """Materialize all assets of a location, assert that it succeeded, and return the run's id."""
        run = self.launch(location)
        assert self.await_end(run, within_s) == "SUCCESS", self.log(run)
        return run

    def runs(self) -> list[Run]:
        """Return all runs, the newest first."""
        results = self.query(RUNS)["runsOrError"]["results"]
        return [Run(run["runId"], run["status"], {tag["key"]: tag["value"] for tag in run["tags"]}) for run in results]

    def status(self, run_id: str) -> str:
        """Return the state of a run."""
        return next(run.status for run in self.runs() if run.id == run_id)

    def await_end(self, run_id: str, within_s: float = 300) -> str:
        """Wait for a run's end and return how it ended."""
        ended = await_that(lambda: self.status(run_id) in FINISHED, within_s, f"run {run_id} ended")
        assert ended
        return self.status(run_id)

    def log(self, run_id: str) -> str:
        """Return what a run logged, errors with their causes."""
        events = self.query(RUN_LOG, run=run_id)["logsForRun"]["events"]
        errors = [event["error"] for event in events if event.get("error")]
        causes = [cause["message"] for error in errors for cause in error["causes"]]
        return "\n".join([*(event.get("message") or "" for event in events), *(e["message"] for e in errors), *causes])

    def start_schedule(self, location: str, name: str) -> None:
        """Turn a schedule on."""
        schedule = {"repositoryLocationName": location, "repositoryName": REPOSITORY, "scheduleName": name}
        answer = self.query(START_SCHEDULE, schedule=schedule)["startSchedule"]
        assert answer["__typename"] == "ScheduleStateResult", answer

    def stop_schedule(self, location: str, name: str) -> None:
        """Turn a schedule off."""
        schedule = {"repositoryLocationName": location, "repositoryName": REPOSITORY, "scheduleName": name}
        found = self.query(SCHEDULE, schedule=schedule)["scheduleOrError"]
        answer = self.query(STOP_SCHEDULE, id=found["id"])["stopRunningSchedule"]
        assert answer["__typename"] == "ScheduleStateResult", answer

    def reload(self, location: str) -> None:
        """Load a location's code again."""
        self.query(RELOAD_LOCATION, location=location)

    def unwell_daemons(self) -> list[str]:
        """Return the daemons that are needed and not well."""
        daemons = self.query(DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
        return [daemon["daemonType"] for daemon in daemons if daemon["required"] and not daemon["healthy"]]


def _load_error(entry: dict[str, Any]) -> str | None:
    loaded = entry["locationOrLoadError"]
    if entry["loadStatus"] != "LOADED" or loaded is None:
        return "LOADING"
    return str(loaded["message"]) if loaded["__typename"] == "PythonError" else None
