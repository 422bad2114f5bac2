"""What Dagster's servers and runs on the hosts have written, and the latest runs of a deployment's code locations."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dagster_module_builder.base.errors import RefusedError, UsageError
from dagster_module_builder.deploy.each_host import on_hosts
from dagster_module_builder.deploy.host_side.log_lines import LEVELS
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.deploy.model.deployment import Deployment

#: Seconds between two looks at logs that are followed, the latest runs whose events are read, and the most entries of
#: a run that are read at once.
LOOK, RUNS, AT_ONCE = 1.0, 10, 5000
#: The most runs that an abbreviated id is looked for in.
KNOWN = 500
_AGE = re.compile(r"(\d+)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_ENDED = frozenset({"SUCCESS", "FAILURE", "CANCELED"})
#: Gets a host's entries, and returns whether they still have a reader.
Taker = Callable[[Sequence[Mapping[str, Any]]], bool]


@dataclass(frozen=True)
class LogOptions:
    """Which entries of logs are wanted.

    Attributes:
        follow: Wait for further entries.
        run: Only of the run with this id, or with the one that begins like this.
        since: Seconds since 1970; None for no limit.
        level: The least level, one of ``LEVELS``.
        text: What an entry must contain.
        lines: The most entries from before.
    """

    follow: bool = False
    run: str = ""
    since: float | None = None
    level: str = "DEBUG"
    text: str = ""
    lines: int = 100


def since_of(text: str, now: float) -> float:
    """Return a time in seconds since 1970 from an age or a date: ``10m``, ``2h``, ``3d``, ``2026-01-05T06:00``.

    Raises:
        UsageError: It is neither.
    """
    if match := _AGE.fullmatch(text):
        return now - int(match[1]) * _SECONDS[match[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is no time: use an age such as 10m, 2h or 3d, or a date such as 2026-01-05T06:00."
        ) from None


def level_of(text: str) -> str:
    """Return a level by its name.

    Raises:
        UsageError: There is no such level.
    """
    if text.upper() not in LEVELS:
        raise UsageError(f"Unknown value for --level: {text!r}. Choose one of {', '.join(LEVELS)}.")
    return text.upper()


@dataclass
class _Reading:
    """What was read of one host's logs."""

    run: HostRun
    options: LogOptions
    cursors: Mapping[str, str] = field(default_factory=dict)
    #: The cursor of each run's events; an ended run's are complete once they were read after its end.
    events: dict[str, str | None] = field(default_factory=dict)
    complete: set[str] = field(default_factory=set)
    chosen: str = ""
    notes: list[str] = field(default_factory=list)
    #: Whether Dagster answers there; the servers' logs can be read if it does not.
    answers: bool = True

    def read(self) -> list[dict[str, Any]]:
        """Return the entries that are new, the oldest first."""
        if self.options.run:
            return self._of_run()
        is_first = not self.cursors
        found = [*self._of_servers(), *(self._of_runs() if self.answers else ())]
        found.sort(key=lambda entry: entry["time"] or 0.0)
        return found[-max(self.options.lines, 1) :] if is_first else found

    @property
    def _wanted(self) -> dict[str, Any]:
        options = self.options
        most = options.lines if not self.cursors else AT_ONCE
        return {"level": options.level, "text": options.text, "since": options.since, "most": max(most, 1)}

    @property
    def _locations(self) -> list[str]:
        return [deployment.names.snake for deployment in self.run.target.deployments]

    def _of_servers(self) -> list[dict[str, Any]]:
        answer = self.run.conversation.ask(
            "server logs",
            folder=self.run.target.first.dagster_folder,
            modules=self.run.target.modules,
            cursors=dict(self.cursors),
            where=self.run.where,
            **self._wanted,
        )
        self.notes += answer["notes"]
        self.cursors = answer["cursors"]
        return list(answer["entries"])

    def _of_runs(self) -> list[dict[str, Any]]:
        latest = self.run.conversation.ask("runs", locations=self._locations, limit=RUNS)["runs"]
        return [entry for run in reversed(latest) if run["id"] not in self.complete for entry in self._events(run)]

    def _events(self, run: Mapping[str, Any]) -> list[dict[str, Any]]:
        cursor = self.events.get(run["id"])
        answer = self.run.conversation.ask("run events", run=run["id"], cursor=cursor, **self._wanted)
        self.events[run["id"]] = answer["cursor"]
        if run["status"] in _ENDED:
            self.complete.add(run["id"])
        return list(answer["entries"])

    def _of_run(self) -> list[dict[str, Any]]:
        asked = self.run.conversation.ask
        self.chosen = self.chosen or self._found()
        (run,) = asked("runs", locations=self._locations, limit=1, run=self.chosen)["runs"]
        if run["id"] in self.complete:
            return []
        entries = self._events(run)
        # What it printed has no times: it counts as of its end.
        is_new = self.options.since is None or (run["ended"] or 0.0) >= self.options.since
        if run["status"] in _ENDED and is_new and not self.options.text and self.options.level in {"DEBUG", "INFO"}:
            entries += asked("printed", run=run["id"])["entries"]
        return entries

    def _found(self) -> str:
        """Return the id of the run that was named, if it is one of the deployment's."""
        runs = self.run.conversation.ask("runs", locations=self._locations, limit=KNOWN)["runs"]
        ids = [str(run["id"]) for run in runs if str(run["id"]).startswith(self.options.run)]
        if len(ids) != 1:
            what = f"{len(ids)} of its runs begin with" if ids else f"none of its latest {KNOWN} runs begins with"
            raise RefusedError(f"{self.run.target}: {what} {self.options.run!r}. 'deploy.runs' lists them.")
        return ids[0]

    @property
    def is_over(self) -> bool:
        """Whether nothing more can come."""
        return not self.options.follow or bool(self.options.run and self.chosen in self.complete)


def read_logs(
    deployments: Sequence[Deployment], hosts: Sequence[str], options: LogOptions, take: Taker
) -> list[dict[str, Any]]:
    """Read the logs of all hosts, and hand on each host's entries as they come.

    Args:
        deployments: The deployments.
        hosts: Only these hosts; all of them if empty.
        options: Which entries are wanted.
        take: Gets entries, each with its ``host``.

    Returns:
        ``notes`` of each host, or its ``error``.
    """
    taking = threading.Lock()

    def look(run: HostRun) -> dict[str, Any]:
        run.inspect(run.target.modules)
        error = run.inspection["dagster"].get("error")
        if error and not options.run:
            run.notes.append(f"{error} Only the servers' logs can be read.")
        reading = _Reading(run, options, answers=not error)
        while True:
            entries = [{"host": str(run.target), **entry} for entry in reading.read()]
            with taking:
                goes_on = not entries or take(entries)
            if reading.is_over or not goes_on:
                return {"notes": [*run.notes, *reading.notes]}
            time.sleep(LOOK)

    return on_hosts(deployments, hosts, look)


def latest_runs(
    deployments: Sequence[Deployment], hosts: Sequence[str], *, limit: int, statuses: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return, for each host, the latest runs of the deployments' code locations, the newest first.

    Args:
        deployments: The deployments.
        hosts: Only these hosts; all of them if empty.
        limit: How many of each location.
        statuses: Only runs with one of these, such as ``FAILURE``.
    """

    def look(run: HostRun) -> dict[str, Any]:
        run.inspect(run.target.modules)
        locations = [deployment.names.snake for deployment in run.target.deployments]
        asked = {"locations": locations, "limit": limit, "statuses": list(statuses)}
        return {"runs": [_with_duration(each) for each in run.conversation.ask("runs", **asked)["runs"]]}

    return on_hosts(deployments, hosts, look)


def _with_duration(run: Mapping[str, Any]) -> dict[str, Any]:
    begun, ended = run["begun"], run["ended"]
    return {**run, "seconds": round(ended - begun, 3) if begun is not None and ended is not None else None}
