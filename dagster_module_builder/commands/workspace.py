"""``workspace.*``: the local workspace and the modules in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit

from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import DRY_RUN_HELP, JSON_HELP, ROOT_HELP, YES_HELP, command, root_of
from dagster_module_builder.commands.workspace_reports import (
    ADOPT_HELP,
    FORCE_HELP,
    NAME_HELP,
    UP_HELP,
    say_outcome,
    tell_dagster,
)

_NO_CHECK_HELP = "Do not ask uv and Docker whether the result can work."
_ALLOW_HELP = "A setting that a module may have, as NAME=SETTING, as the refusal calls it; may be repeated."


def _checks(*, no_check: bool) -> Sequence[Any]:
    if no_check:
        return ()
    from dagster_module_builder.workspaces.external_checks import ALL  # it loads what only checks need

    return ALL


@command(
    "workspace.init",
    help={
        "root": ROOT_HELP,
        "port": "The port of Dagster's page on this machine (default: the next free one from 3000).",
        "network": "The engine's name of the network 'workspace-net' (default: PROJECT-net).",
        "project": "The name of the Compose project (default: the folder's).",
        "python-image": "The image that the shared one is built on.",
        "postgres-image": "The image of Dagster's own database.",
    },
)
def init(
    _context: Context,
    root: str | None = None,
    port: str | None = None,
    network: str | None = None,
    project: str | None = None,
    python_image: str | None = None,
    postgres_image: str | None = None,
) -> None:
    """Make an empty workspace; where one is, change nothing."""
    from dagster_module_builder.workspaces.initialize import initialize

    given = {
        "port": port,
        "network": network,
        "project": project,
        "python_image": python_image,
        "postgres_image": postgres_image,
    }
    done = initialize(root_of(root), {key: value for key, value in given.items() if value is not None})
    if not done.changed:
        console.say(f"{done.root} is a workspace already; nothing was changed.")
        return
    console.say(f"Made a workspace in {done.root}")
    console.say_made(done.made, done.root)
    for path in done.kept:
        console.tell(f"  kept    {path.relative_to(done.root)}, which was there before")
    console.say_next([("new NAME", "make a module"), ("workspace.dev", "run Dagster here, without Docker")])


@command(
    "workspace.add",
    help={
        "name": NAME_HELP,
        "root": ROOT_HELP,
        "dry-run": DRY_RUN_HELP,
        "no-check": _NO_CHECK_HELP,
        "force": "Replace blocks of it that are there without the registry knowing them.",
        "adopt": ADOPT_HELP,
        "up": UP_HELP,
        "move": "Move the module's folder to the workspace's projects first, where it is elsewhere.",
        "code-service": "A service that runs code, where the compose file does not show which do; may be repeated.",
        "allow": _ALLOW_HELP,
    },
    iterable=["code_service", "allow"],
)
def add(
    _context: Context,
    name: str,
    root: str | None = None,
    dry_run: bool = False,
    no_check: bool = False,
    force: bool = False,
    adopt: bool = False,
    move: bool = False,
    up: bool = False,
    code_service: Sequence[str] | None = None,
    allow: Sequence[str] | None = None,
) -> None:
    """Bring a module into the workspace."""
    from dagster_module_builder.fragment_rules.refused import parse_allowances
    from dagster_module_builder.workspaces.add import add_module

    where = root_of(root)
    may_move = move or (not dry_run and _wants_move(where, name))
    outcome = add_module(
        where,
        name,
        dry_run=dry_run,
        force=force,
        adopting=adopt,
        move=may_move,
        code_services=code_service or (),
        allowances=parse_allowances(allow or ()),
        checks=_checks(no_check=no_check),
        warn=console.tell,
    )
    say_outcome(outcome, where, "Added", "to")
    tell_dagster(outcome, where, start=up)
    if not dry_run:
        (added,) = outcome.modules
        console.say_next(
            [
                (f"workspace.materialize {added}", "run its assets once, here"),
                ("workspace.dev", "run Dagster here, without Docker"),
                ("workspace.up", "run Dagster in containers"),
            ]
        )


def _wants_move(root: Path, name: str) -> bool:
    from dagster_module_builder.modules import module

    outside = module.lies_outside(root, name)
    if outside is None or not console.interactive():
        return False
    question = f"{outside} lies outside the workspace. Move it to {root}/projects?"
    return console.confirmed(question, yes=False, flag="--move")


@command(
    "workspace.list",
    help={"root": ROOT_HELP, "json": JSON_HELP, "data": "List what modules have stored, also those that were removed."},
)
def list_(_context: Context, root: str | None = None, json: bool = False, data: bool = False) -> None:
    """List the modules: those in the workspace, and those that only lie in its projects."""
    from dagster_module_builder.workspaces.listing import listing

    if data:
        from dagster_module_builder.commands.workspace_remove import list_data

        list_data(root_of(root), as_json=json)
        return
    modules = listing(root_of(root))
    if json:
        console.say_json({"modules": [module.to_json() for module in modules]})
        return
    if not modules:
        console.say("There are no modules yet.")
        console.say_next([("new NAME", "make one")])
        return
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


@command(
    "workspace.validate",
    help={
        "root": ROOT_HELP,
        "json": JSON_HELP,
        "load": "Load every code location too, in the native environment.",
        "no-check": _NO_CHECK_HELP,
    },
)
def validate(
    _context: Context, root: str | None = None, json: bool = False, load: bool = False, no_check: bool = False
) -> None:
    """Compare registry, blocks, fragments and shared files; exit with 1 when an error is found."""
    from dataclasses import asdict

    from dagster_module_builder.health.validate import validate as look

    findings = look(root_of(root), check=not no_check, load=load)
    errors = sum(finding.severity == "error" for finding in findings)
    if json:
        console.say_json({"ok": not errors, "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            console.say(f"{finding.severity}: {finding.with_command()}")
        console.say(f"{errors} errors, {len(findings) - errors} warnings" if findings else "Everything is in order.")
    if errors:
        raise Exit(code=1)


@command(
    "workspace.sync",
    help={
        "root": ROOT_HELP,
        "prune": "Take out the modules whose project folder is gone.",
        "check": "Change nothing; exit with 1 when something would change.",
        "repair": "Repair damaged markers first, after showing how.",
        "yes": YES_HELP,
        "dry-run": DRY_RUN_HELP,
        "force": FORCE_HELP,
        "no-check": _NO_CHECK_HELP,
        "up": UP_HELP,
        "allow": _ALLOW_HELP,
    },
    iterable=["allow"],
)
def sync(
    _context: Context,
    root: str | None = None,
    prune: bool = False,
    check: bool = False,
    repair: bool = False,
    yes: bool = False,
    dry_run: bool = False,
    force: bool = False,
    no_check: bool = False,
    up: bool = False,
    allow: Sequence[str] | None = None,
) -> None:
    """Bring all modules under projects/ into the workspace, as their fragments are now."""
    from dagster_module_builder.fragment_rules.refused import parse_allowances
    from dagster_module_builder.workspaces.sync import sync as bring

    where = root_of(root)
    if repair and not _repaired(where, dry_run=dry_run or check, yes=yes):
        return
    checks = _checks(no_check=no_check or check)
    done = bring(
        where,
        prune=prune,
        dry_run=dry_run or check,
        force=force,
        allowances=parse_allowances(allow or ()),
        checks=checks,
        warn=console.tell,
    )
    say_outcome(done.outcome, where, "Synchronized", "with")
    tell_dagster(done.outcome, where, start=up)
    for label in ("added", "updated", "removed"):
        if names := getattr(done, label):
            console.say(f"  {label}: {', '.join(names)}")
    if done.vanished:
        console.tell(f"Warning: the folders of {', '.join(done.vanished)} are gone; --prune takes them out.")
    if check and (done.outcome.plan.effective or done.vanished):
        raise Exit("The workspace is not up to date: run 'workspace.sync'.", code=1)


def _repaired(root: Path, *, dry_run: bool, yes: bool) -> bool:
    """Fix markers after a shown diff; tell whether to go on."""
    from dagster_module_builder.workspaces.repair import repair

    plan = repair(root, dry_run=True)
    if not plan.effective:
        return True
    console.say_diff(plan.diff())
    if dry_run or not console.confirmed("Repair these lines?", yes=yes):
        console.tell("Nothing was changed.")
        return False
    repair(root)
    console.say_plan(plan, root)
    return True


@command("workspace.backups", help={"root": ROOT_HELP, "json": JSON_HELP})
def backups(_context: Context, root: str | None = None, json: bool = False) -> None:
    """List the backups that every change leaves; those older than a week are removed by the next change."""
    from dagster_module_builder.workspaces.restore import backups as found

    kept = found(root_of(root))
    if json:
        console.say_json({"backups": [vars(backup) for backup in kept]})
    elif kept:
        rows = [(backup.identity, f"{backup.made_at:%Y-%m-%d %H:%M:%S}", ", ".join(backup.files)) for backup in kept]
        console.say_table(("BACKUP", "MADE AT (UTC)", "FILES"), rows)
    else:
        console.say("There are no backups.")


@command(
    "workspace.restore",
    help={
        "identity": "The backup's id, as 'workspace.backups' shows it.",
        "root": ROOT_HELP,
        "dry-run": DRY_RUN_HELP,
        "yes": YES_HELP,
    },
)
def restore(
    _context: Context, identity: str, root: str | None = None, dry_run: bool = False, yes: bool = False
) -> None:
    """Put the files of a backup back; what they are now is backed up first."""
    from dagster_module_builder.workspaces.restore import restore as put_back

    where = root_of(root)
    plan, _ = put_back(where, identity, dry_run=True)
    console.say_diff(plan.diff())
    if dry_run or not plan.effective:
        console.tell("Nothing was changed.")
    elif console.confirmed("Put these files back?", yes=yes):
        plan, backup = put_back(where, identity)
        console.say_plan(plan, where)
        console.say(f"The files as they were are in the backup {backup}.")


TASKS = (init, add, list_, validate, sync, backups, restore)
