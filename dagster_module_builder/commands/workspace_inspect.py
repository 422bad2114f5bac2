"""``workspace.list``, ``.validate`` and ``.backups``: tasks that only read the workspace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.context import Context
from invoke.exceptions import Exit

from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import JSON_HELP, ROOT_HELP, command, root_of
from dagster_module_builder.commands.workspace_reports import NO_CHECK_HELP

if TYPE_CHECKING:
    from dagster_module_builder.workspaces.listing import Listed
    from dagster_module_builder.workspaces.module_data import ModuleData


@command(
    "workspace.list",
    help={
        "root": ROOT_HELP,
        "json": JSON_HELP,
        "data": "List the data that modules have stored, including modules that were removed.",
    },
)
def list_(_context: Context, root: str | None = None, json: bool = False, data: bool = False) -> None:
    """List the modules in the workspace, and those in projects/ that are not added."""
    from dagster_module_builder.workspaces.listing import listing

    if data:
        _list_data(root_of(root), as_json=json)
        return
    modules = listing(root_of(root))
    if json:
        console.say_json({"modules": [module.to_json() for module in modules]})
    elif not modules:
        console.say("There are no modules yet.")
        console.say_next([("new NAME", "create a module")])
    else:
        _say_modules(modules)


def _say_modules(modules: Sequence[Listed]) -> None:
    rows = [
        (
            module.name,
            "folder missing" if module.missing else "integrated" if module.integrated else "not integrated",
            module.database or "-",
            str(module.port or "-"),
            (module.integrated_at or "-")[:16].replace("T", " "),
            module.template_version or "-",
        )
        for module in modules
    ]
    console.say_table(("MODULE", "STATE", "DATABASE", "PORT", "SINCE (UTC)", "TEMPLATE"), rows)
    for module in modules:
        if module.allowed:
            console.say(f"{module.name} is allowed: {', '.join(module.allowed)}")


def _list_data(root: Path, *, as_json: bool) -> None:
    from dagster_module_builder.workspaces.module_data import every_data

    stored = every_data(root)
    if as_json:
        console.say_json({"data": [_as_json(data) for data in stored]})
    elif not stored:
        console.say("No module has stored any data.")
    else:
        _say_data(stored)


def _as_json(data: ModuleData) -> dict[str, Any]:
    return {"module": data.module, "integrated": data.integrated, "data": data.parts(), "left": list(data.left)}


def _say_data(stored: Sequence[ModuleData]) -> None:
    rows = [
        (data.module, "integrated" if data.integrated else "removed", part) for data in stored for part in data.parts()
    ]
    console.say_table(("MODULE", "STATE", "DATA"), rows)
    removed = [data.module for data in stored if not data.integrated]
    console.say_next([(f"workspace.remove {name} --delete-data", "delete its stored data") for name in removed])


@command(
    "workspace.validate",
    help={
        "root": ROOT_HELP,
        "json": JSON_HELP,
        "load": "Also load every code location in the native environment.",
        "no-check": NO_CHECK_HELP,
    },
)
def validate(
    _context: Context, root: str | None = None, json: bool = False, load: bool = False, no_check: bool = False
) -> None:
    """Compare the registry, blocks, fragments and shared files; exit 1 if an error is found."""
    from dataclasses import asdict

    from dagster_module_builder.health.validate import validate as find_problems

    findings = find_problems(root_of(root), check=not no_check, load=load)
    errors = sum(finding.severity == "error" for finding in findings)
    if json:
        console.say_json({"ok": not errors, "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            console.say(f"{finding.severity}: {finding.with_command()}")
        console.say(f"{errors} errors, {len(findings) - errors} warnings" if findings else "No problems found.")
    if errors:
        raise Exit(code=1)


@command("workspace.backups", help={"root": ROOT_HELP, "json": JSON_HELP})
def backups(_context: Context, root: str | None = None, json: bool = False) -> None:
    """List the backups; every change makes one, and deletes those older than a week."""
    from dagster_module_builder.workspaces.restore import backups as list_backups

    listed = list_backups(root_of(root))
    if json:
        console.say_json({"backups": [vars(backup) for backup in listed]})
    elif listed:
        rows = [(backup.identity, f"{backup.made_at:%Y-%m-%d %H:%M:%S}", ", ".join(backup.files)) for backup in listed]
        console.say_table(("BACKUP", "MADE AT (UTC)", "FILES"), rows)
    else:
        console.say("There are no backups.")


TASKS = (list_, validate, backups)
