"""The tasks of ``deploy`` that change nothing: status, releases, log, list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import ROOT_HELP, command, root_of
from dagster_module_builder.commands.deployment_task import Chosen, deployment_task, exit_on_errors

#: The most characters of an error in a table.
_CELL = 80


@deployment_task("deploy.status")
def status(chosen: Chosen) -> None:
    """Show what runs on each host, since when and by whom, and whether Dagster has loaded it."""
    from dagster_module_builder.deploy.status import status as look

    results = look(chosen.deployments, chosen.hosts)
    console.give(results)
    _say_status(results)
    exit_on_errors(results)
    if any(
        module["release"] and not module["location"].startswith("loaded")
        for result in results
        for module in result["modules"]
    ):
        raise Exit(code=1)


def _say_status(results: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        (
            result["host"],
            module["module"],
            module["release"] or "-",
            (module["commit"] or "-")[:8],
            module["since"] or "-",
            module["by"] or "-",
            _cut(module["location"]),
        )
        for result in results
        for module in result.get("modules", [])
    ]
    console.say_table(("host", "module", "release", "commit", "since", "by", "Dagster"), rows)
    for result in results:
        for module in result.get("modules", []):
            if module["pipeline"]:
                console.inform(f"{result['host']}: {module['module']} is deployed by {module['pipeline']}.")
        if "error" in result:
            console.alert(str(result["error"]))
        elif result["lock"]:
            console.inform(
                f"{result['host']}: {result['lock'].get('who')} is deploying since {result['lock'].get('since')}."
            )
        elif result["unfinished"]:
            console.inform(
                f"{result['host']}: a deployment was interrupted; the next command there restores the old release."
            )
        if result.get("dagster", "answers") != "answers":
            console.inform(f"{result['host']}: {result['dagster']}")
        if result.get("daemon") is False:
            console.inform(f"{result['host']}: Dagster's daemon is not running: schedules and sensors do not work.")


def _cut(text: str) -> str:
    """Return the beginning of a text for a cell of a table; ``--json`` has all of it."""
    return text if len(text) <= _CELL else f"{text[: _CELL - 1]}…"


@deployment_task("deploy.releases")
def releases(chosen: Chosen) -> None:
    """List the releases on each host, newest first."""
    from dagster_module_builder.deploy.status import releases as look

    columns = ("host", "module", "release", "", "commit", "by")
    _show_rows(look(chosen.deployments, chosen.hosts), columns, _release_cells)


def _release_cells(host: str, module: str, each: Mapping[str, Any]) -> tuple[str, ...]:
    return host, module, each["release"], each["role"], (each.get("commit") or "-")[:8], each.get("by") or "-"


@deployment_task("deploy.log")
def log(chosen: Chosen) -> None:
    """Show what was done on each host, oldest first."""
    from dagster_module_builder.deploy.status import log as look

    columns = ("begun", "ended", "host", "module", "action", "result", "seconds", "release", "who", "reason")
    results = look(chosen.deployments, chosen.hosts)
    for result in results:
        for module, entries in result.get("modules", {}).items():
            for entry in entries:
                _say_hooks(result["host"], module, entry)
    _show_rows(results, columns, _log_cells)


def _say_hooks(host: str, module: str, entry: Mapping[str, Any]) -> None:
    """Show what the hooks of an operation said."""
    for hook in entry.get("hooks", ()):
        how = f"exit status {hook.get('code')}, {hook.get('seconds')} s"
        where = f"{host}, {module}, {entry.get('begun')}"
        console.inform(f"{where}: hook {hook.get('hook')} ({hook.get('where')}) {hook.get('name')}: {how}")
        for line in str(hook.get("said", "")).splitlines():
            console.inform(f"  {line}")


def _log_cells(host: str, module: str, each: Mapping[str, Any]) -> tuple[str, ...]:
    begun, ended, action, result, seconds, release, who = (
        "-" if each.get(name) is None else str(each[name])
        for name in ("begun", "ended", "action", "result", "seconds", "release", "who")
    )
    reason = " ".join(str(each.get("reason", "")).split())
    return begun, ended, host, module, action, result, seconds, release, who, reason


def _show_rows(
    results: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    cells: Callable[[str, str, Mapping[str, Any]], tuple[str, ...]],
) -> None:
    """Show the entries of each module on each host, one in a row."""
    console.give(results)
    rows = [
        cells(result["host"], module, entry)
        for result in results
        for module, every in result.get("modules", {}).items()
        for entry in every
    ]
    console.say_list(columns, rows, names=columns.index("release"))
    for result in results:
        if "error" in result:
            console.alert(str(result["error"]))
    exit_on_errors(results)


@command("deploy.list", help={"root": ROOT_HELP})
def list_(_context: Context, root: str | None = None) -> None:
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
            "deployment": deployment.name,
            "module": deployment.names.name,
            "client": str(deployment.data["client"]),
            "strategy": str(deployment.data["strategy"]),
            "carries out": deployment.strategy,
            "hosts": [str(host) for host in deployment.hosts],
        }
        for deployment in read
    ]
    console.give([*rows, *problems])
    _say_deployments(rows)
    for problem in problems:
        console.alert(f"Error: {problem['error']}")
    if problems:
        raise Exit(code=1)


def _say_deployments(rows: Sequence[Mapping[str, Any]]) -> None:
    cells = [[", ".join(value) if isinstance(value, list) else str(value) for value in row.values()] for row in rows]
    console.say_list(("deployment", "module", "client", "strategy", "carries out", "hosts"), cells)
