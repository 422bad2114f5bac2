"""``deploy.logs`` and ``deploy.runs``: what Dagster on the hosts has written and run."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from dagster_module_builder.commands import console
from dagster_module_builder.commands.deployment_task import Chosen, deployment_task, exit_on_errors
from dagster_module_builder.disclosure import terminal

#: The statuses of Dagster's runs (dagster.DagsterRunStatus).
_STATUSES = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "SUCCESS", "FAILURE", "CANCELING", "CANCELED")
#: The most characters of a run's assets in a table.
_CELL = 60


@deployment_task(
    "deploy.logs",
    {
        "follow": "Follow the logs until interrupted.",
        "run": "Only the run with this id, or the one whose id begins like this.",
        "since": "Only what was written since then: an age (10m, 2h, 3d) or a date (2026-01-05T06:00).",
        "level": "The least level: DEBUG, INFO, WARNING, ERROR or CRITICAL.",
        "text": "Only entries that contain this text.",
        "lines": "The most entries from before (default: 100).",
    },
)
def logs(
    chosen: Chosen,
    follow: bool = False,
    run: str | None = None,
    since: str | None = None,
    level: str = "DEBUG",
    text: str = "",
    lines: int = 100,
) -> None:
    """Show what Dagster's servers and runs on the hosts have written."""
    from dagster_module_builder.deploy.logs import LogOptions, level_of, read_logs, since_of

    begin = since_of(since, time.time()) if since else None
    options = LogOptions(follow, run or "", begin, level_of(level), text, lines)
    several = len({str(host) for deployment in chosen.deployments for host in deployment.hosts}) > 1
    results = read_logs(
        chosen.deployments, chosen.hosts, options, lambda entries: _say_entries(entries, with_host=several)
    )
    for result in results:
        if "error" in result:
            console.alert(str(result["error"]))
        for note in result.get("notes", []):
            console.inform(f"{result['host']}: {note}")
    if console.is_for_programs():
        for result in results:
            if "error" in result:
                console.give_line(result)
    exit_on_errors(results)


def _say_entries(entries: Sequence[Mapping[str, Any]], *, with_host: bool) -> bool:
    """Print entries, also with --quiet: they are what was asked for; return whether they still have a reader."""
    if console.is_for_programs():
        return all(console.give_line(dict(entry)) for entry in entries)
    return all(terminal.write(sys.stdout, _line(entry, with_host=with_host)) for entry in entries)


def _line(entry: Mapping[str, Any], *, with_host: bool) -> str:
    when = "-" if entry["time"] is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry["time"]))
    host = f"{entry['host']} " if with_host else ""
    return f"{when} {host}{entry['source']} {entry['level']} {entry['text']}"


@deployment_task(
    "deploy.runs",
    {
        "limit": "How many runs of each module (default: 20).",
        "status": "Only runs with this status, such as FAILURE; may be given several times.",
    },
    iterable=["status"],
)
def runs(chosen: Chosen, limit: int = 20, status: Sequence[str] | None = None) -> None:
    """List the latest runs of the deployment's modules on each host, newest first."""
    from dagster_module_builder.commands.base import choice
    from dagster_module_builder.deploy.logs import latest_runs

    statuses = [choice("status", each.upper(), _STATUSES) for each in status or ()]
    results = latest_runs(chosen.deployments, chosen.hosts, limit=max(limit, 1), statuses=statuses)
    console.give(results)
    rows = [_cells(result["host"], run) for result in results for run in result.get("runs", [])]
    console.say_list(("host", "run", "status", "job or assets", "begun", "seconds", "release"), rows, names=1)
    for result in results:
        if "error" in result:
            console.alert(str(result["error"]))
    exit_on_errors(results)


def _cells(host: str, run: Mapping[str, Any]) -> tuple[str, ...]:
    what = ", ".join(run["assets"]) if run["job"].startswith("__") else run["job"]
    begun = "-" if run["begun"] is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run["begun"]))
    seconds = "-" if run["seconds"] is None else f"{run['seconds']:.1f}"
    shown = what if len(what) <= _CELL else f"{what[: _CELL - 1]}…"
    return host, run["id"][:8], run["status"], shown or run["job"], begun, seconds, run["release"] or "-"


TASKS = (logs, runs)
