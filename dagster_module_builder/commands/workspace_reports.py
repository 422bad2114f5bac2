"""Help texts, checks and reports that the ``workspace.*`` tasks share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dagster_module_builder.commands import console
from dagster_module_builder.commands.task_output import Step, step

NAME_HELP = "The module's name, or the path of its folder."
UP_HELP = "Build and start changed containers, as 'workspace.up' does."
ADOPT_HELP = "Take over unmarked lines that an earlier version or a person added for this module."
NO_CHECK_HELP = "Skip the checks with uv and Docker."
ALLOW_HELP = "Allow a module's setting: NAME=SETTING, as shown in the refusal; repeatable."
FORCE_HELP = "Discard manual edits inside managed blocks."


def external_checks(*, no_check: bool) -> Sequence[Any]:
    """Return the checks that ask uv and Docker whether a plan works; none with ``--no-check``."""
    if no_check:
        return ()
    from dagster_module_builder.workspaces.external_checks import ALL  # imported late: only checks need it

    return ALL


def steps_into_dagster(root: Path, module: str) -> list[Step]:
    """Return the ways to see a module run, and where in Dagster's page it is."""
    from dagster_module_builder.base.names import ModuleNames
    from dagster_module_builder.health.dagster_addresses import first_addresses
    from dagster_module_builder.workspaces.workspace import read_workspace

    workspace = read_workspace(root)
    page = f"{first_addresses(workspace)[-1]}/locations"
    steps = [
        step("run its assets once, here", "workspace.materialize", module),
        step(f"Dagster at {page}, without Docker: open {ModuleNames(module).snake} there", "workspace.dev"),
    ]
    if workspace.layout.has_compose:
        steps.append(step("the same in containers", "workspace.up"))
    return steps


def tell_dagster(outcome: Any, root: Path, *, start: bool) -> None:
    """Have a running Dagster reload changed locations; with ``--up`` build and start changed containers first."""
    from dagster_module_builder.compose import docker
    from dagster_module_builder.health import running_dagster

    if outcome.dry_run:
        for line in running_dagster.to_be_loaded_again(root, outcome):
            console.say(line)
        return
    started = start and bool(outcome.plan.effective) and running_dagster.needs_up(outcome)
    if started:
        docker.up(root, before=lambda services: running_dagster.await_runs(root, services, console.say))
    for line in running_dagster.tell_dagster(root, outcome, started=started):
        console.say(line)


def change_as_data(outcome: Any, root: Path) -> dict[str, Any]:
    """Return what a command changed in the workspace, or would change, for programs."""
    return {
        "root": str(root),
        "dry_run": outcome.dry_run,
        "modules": list(outcome.modules),
        "files": console.files_as_data(outcome.plan, root),
        "notes": list(outcome.notes),
        **({"diff": outcome.plan.diff()} if outcome.dry_run else {}),
    }


def say_outcome(outcome: Any, root: Path, verb: str, preposition: str) -> None:
    """Print what a command changed, or the diff of a dry run."""
    for note in outcome.notes:
        console.inform(note)
    if outcome.dry_run:
        console.say_diff(outcome.plan.diff())
        console.inform("Nothing was changed.")
        return
    modules = ", ".join(outcome.modules) if len(outcome.modules) < 4 else f"{len(outcome.modules)} modules"
    console.say(f"{verb} {modules or 'no modules'} {preposition} {root}")
    console.say_plan(outcome.plan, root)
