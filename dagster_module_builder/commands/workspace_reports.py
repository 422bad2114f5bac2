"""Help texts, checks and reports that the ``workspace.*`` tasks share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dagster_module_builder.commands import console

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


def tell_dagster(outcome: Any, root: Path, *, start: bool, say: Callable[[str], None] = console.say) -> None:
    """Have a running Dagster reload changed locations; with ``--up`` build and start changed containers first."""
    from dagster_module_builder.compose import docker
    from dagster_module_builder.health import running_dagster

    if outcome.dry_run:
        for line in running_dagster.to_be_loaded_again(root, outcome):
            say(line)
        return
    started = start and bool(outcome.plan.effective) and running_dagster.needs_up(outcome)
    if started:
        docker.up(root)
    for line in running_dagster.tell_dagster(root, outcome, started=started):
        say(line)


def say_outcome(outcome: Any, root: Path, verb: str, preposition: str) -> None:
    """Print what a command changed, or the diff of a dry run."""
    for note in outcome.notes:
        console.tell(note)
    if outcome.dry_run:
        console.say_diff(outcome.plan.diff())
        console.tell("Nothing was changed.")
        return
    modules = ", ".join(outcome.modules) if len(outcome.modules) < 4 else f"{len(outcome.modules)} modules"
    console.say(f"{verb} {modules or 'no modules'} {preposition} {root}")
    console.say_plan(outcome.plan, root)
