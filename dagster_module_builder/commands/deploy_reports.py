"""The tasks of ``deploy`` that only look: status, releases, log, list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import JSON_HELP, ROOT_HELP, command, root_of
from dagster_module_builder.commands.deployment_task import Chosen, deployment_task, exit_on_errors


@deployment_task("deploy.status", {"json": JSON_HELP})
def status(chosen: Chosen, json: bool = False) -> None:
    """Show what runs on each host, since when and by whom, and whether Dagster has loaded it."""
    from dagster_module_builder.deploy.status import status as look

    found = look(chosen.deployments, chosen.hosts)
    if json:
        console.say_json(found)
    else:
        _say_status(found)
    exit_on_errors(found)
    if any(each["release"] and not each["location"].startswith("loaded") for one in found for each in one["modules"]):
        raise Exit(code=1)


def _say_status(found: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        (one["host"], each["module"], each["release"] or "-", (each["commit"] or "-")[:8], each["since"] or "-",
         each["by"] or "-", each["location"])
        for one in found for each in one.get("modules", [])
    ]  # fmt: skip
    console.say_table(("host", "module", "release", "commit", "since", "by", "Dagster"), rows)
    for one in found:
        for each in one.get("modules", []):
            if each["pipeline"]:
                console.tell(f"{one['host']}: {each['module']} is deployed by {each['pipeline']}.")
        if "error" in one:
            console.tell(str(one["error"]))
        elif one["lock"]:
            console.tell(f"{one['host']}: {one['lock'].get('who')} is deploying since {one['lock'].get('since')}.")
        elif one["unfinished"]:
            console.tell(f"{one['host']}: a deployment was cut off; the next command there puts the old release back.")
        if one.get("dagster", "answers") != "answers":
            console.tell(f"{one['host']}: {one['dagster']}")
        if one.get("daemon") is False:
            console.tell(f"{one['host']}: Dagster's daemon is not alive.")


@deployment_task("deploy.releases", {"json": JSON_HELP})
def releases(chosen: Chosen, json: bool = False) -> None:
    """List the releases on each host, newest first."""
    from dagster_module_builder.deploy.status import releases as look

    columns = ("host", "module", "release", "", "commit", "by")
    _show_rows(look(chosen.deployments, chosen.hosts), columns, _release_cells, as_json=json)


def _release_cells(host: str, module: str, each: Mapping[str, Any]) -> tuple[str, ...]:
    return host, module, each["release"], each["role"], (each.get("commit") or "-")[:8], each.get("by") or "-"


@deployment_task("deploy.log", {"json": JSON_HELP})
def log(chosen: Chosen, json: bool = False) -> None:
    """Show what was done on each host, oldest first."""
    from dagster_module_builder.deploy.status import log as look

    columns = ("begun", "ended", "host", "module", "action", "result", "seconds", "release", "who", "reason")
    _show_rows(look(chosen.deployments, chosen.hosts), columns, _log_cells, as_json=json)


def _log_cells(host: str, module: str, each: Mapping[str, Any]) -> tuple[str, ...]:
    begun, ended, action, result, seconds, release, who = (
        "-" if each.get(name) is None else str(each[name])
        for name in ("begun", "ended", "action", "result", "seconds", "release", "who")
    )
    reason = " ".join(str(each.get("reason", "")).split())
    return begun, ended, host, module, action, result, seconds, release, who, reason


def _show_rows(
    found: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    cells: Callable[[str, str, Mapping[str, Any]], tuple[str, ...]],
    *,
    as_json: bool,
) -> None:
    """Show what each host has of each module, a row an entry."""
    if as_json:
        console.say_json(found)
    else:
        rows = [
            cells(one["host"], module, each)
            for one in found
            for module, every in one.get("modules", {}).items()
            for each in every
        ]
        console.say_table(columns, rows)
        for one in found:
            if "error" in one:
                console.tell(str(one["error"]))
    exit_on_errors(found)


@command("deploy.list", help={"root": ROOT_HELP, "json": JSON_HELP}, auto_shortflags=False)
def list_(_context: Context, root: str | None = None, json: bool = False) -> None:
    """List the deployments of every module."""
    from dagster_module_builder.deploy.model.deployment import all_deployments, read_deployment

    read, problems = [], []
    for folder in all_deployments(root_of(root)):
        try:
            read.append(read_deployment(folder))
        except BuilderError as error:
            problems.append({"deployment": folder.name, "module": folder.parents[1].name, "error": str(error)})
    rows: list[dict[str, Any]] = [
        {
            "deployment": one.name,
            "module": one.names.name,
            "client": str(one.data["client"]),
            "strategy": str(one.data["strategy"]),
            "carries out": one.strategy,
            "hosts": [str(host) for host in one.hosts],
        }
        for one in read
    ]
    if json:
        console.say_json([*rows, *problems])
    else:
        _say_deployments(rows)
        for problem in problems:
            console.tell(f"Error: {problem['error']}")
    if problems:
        raise Exit(code=1)


def _say_deployments(rows: Sequence[Mapping[str, Any]]) -> None:
    cells = [[", ".join(value) if isinstance(value, list) else str(value) for value in row.values()] for row in rows]
    console.say_table(("deployment", "module", "client", "strategy", "carries out", "hosts"), cells)
