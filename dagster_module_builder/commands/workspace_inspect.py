"""``workspace.list``, ``.validate`` and ``.backups``: tasks that only read the workspace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.context import Context
from invoke.exceptions import Exit

from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import ROOT_HELP, command, root_of
from dagster_module_builder.commands.task_output import step
from dagster_module_builder.commands.workspace_reports import NO_CHECK_HELP

if TYPE_CHECKING:
    from dagster_module_builder.overview.module_states import ModuleState
    from dagster_module_builder.workspaces.module_data import ModuleData

_COLUMNS = (
    "MODULE",
    "STATE",
    "LOCATION",
    "MATERIALIZED (UTC)",
    "DATABASE",
    "PORT",
    "SINCE (UTC)",
    "TEMPLATE",
    "DEPLOYMENTS",
)
#: What a narrow terminal does not get, the least important first.
_DISPENSABLE = ("TEMPLATE", "SINCE (UTC)", "PORT", "DATABASE")


@command(
    "workspace.list",
    help={
        "root": ROOT_HELP,
        "data": "List the data that modules have stored, including modules that were removed.",
    },
)
def list_(_context: Context, root: str | None = None, data: bool = False) -> None:
    """List the modules in the workspace, and those in its folders that are not added."""
    from dagster_module_builder.overview.module_states import overview

    if data:
        _list_data(root_of(root))
        return
    seen = overview(root_of(root))
    about = {"url": seen.dagster.url, "note": seen.dagster.note or None}
    console.give({"modules": [state.to_json() for state in seen.modules], "dagster": about})
    if not seen.modules:
        console.say("There are no modules yet.")
        console.say_next(step("create a module", "new", "NAME"))
    else:
        _say_modules(seen.modules)
        if seen.dagster.note and not console.is_for_programs():
            console.inform(seen.dagster.note)


def _say_modules(states: Sequence[ModuleState]) -> None:
    from dagster_module_builder.commands.narrow_table import fitted, terminal_width

    headings, rows = fitted(_COLUMNS, [_row(state) for state in states], terminal_width(), _DISPENSABLE)
    console.say_list(headings, rows)
    for state in states:
        if state.location_error:
            console.say(f"{state.module.name} does not load: {state.location_error}")
        if state.module.allowed:
            console.say(f"{state.module.name} is allowed: {', '.join(state.module.allowed)}")


def _row(state: ModuleState) -> tuple[str, ...]:
    module = state.module
    return (
        module.name,
        module.state,
        state.location or "-",
        f"{state.materialized:%Y-%m-%d %H:%M}" if state.materialized else "-",
        module.database or "-",
        str(module.port or "-"),
        (module.integrated_at or "-")[:16].replace("T", " "),
        module.template_version or "-",
        ", ".join(state.deployments) or "-",
    )


def _list_data(root: Path) -> None:
    from dagster_module_builder.workspaces.module_data import every_data

    stored = every_data(root)
    console.give({"data": [_as_json(data) for data in stored]})
    if not stored:
        console.say("No module has stored any data.")
    else:
        _say_data(stored)


def _as_json(data: ModuleData) -> dict[str, Any]:
    return {"module": data.module, "integrated": data.integrated, "data": data.parts(), "left": list(data.left)}


def _say_data(stored: Sequence[ModuleData]) -> None:
    rows = [
        (data.module, "integrated" if data.integrated else "removed", part) for data in stored for part in data.parts()
    ]
    console.say_list(("MODULE", "STATE", "DATA"), rows)
    removed = [data.module for data in stored if not data.integrated]
    console.say_next(*(step("delete its stored data", "workspace.remove", name, "--delete-data") for name in removed))


@command(
    "workspace.validate",
    help={
        "root": ROOT_HELP,
        "load": "Also load every code location in the native environment.",
        "no-check": NO_CHECK_HELP,
    },
)
def validate(_context: Context, root: str | None = None, load: bool = False, no_check: bool = False) -> None:
    """Compare the registry, blocks, fragments and shared files; exit 1 if an error is found."""
    from dataclasses import asdict

    from dagster_module_builder.health.validate import validate as find_problems

    findings = find_problems(root_of(root), check=not no_check, load=load)
    errors = sum(finding.severity == "error" for finding in findings)
    console.give({"ok": not errors, "findings": [asdict(finding) for finding in findings]})
    for finding in findings:
        console.say(f"{finding.severity}: {finding.with_command()}")
    found = f"{console.counted(errors, 'error')}, {console.counted(len(findings) - errors, 'warning')}"
    console.say(found if findings else "No problems found.")
    if errors:
        raise Exit(code=1)


@command("workspace.backups", help={"root": ROOT_HELP})
def backups(_context: Context, root: str | None = None) -> None:
    """List the backups; every change makes one, and deletes those older than a week."""
    from dagster_module_builder.workspaces.restore import backups as list_backups

    listed = list_backups(root_of(root))
    console.give({"backups": [vars(backup) for backup in listed]})
    if listed:
        rows = [
            (
                backup.identity,
                f"{backup.made_at:%Y-%m-%d %H:%M:%S}",
                ", ".join(Path(file).name for file in backup.files),
            )
            for backup in listed
        ]
        console.say_list(("BACKUP", "MADE AT (UTC)", "FILES"), rows)
    else:
        console.say("There are no backups.")


TASKS = (list_, validate, backups)
