"""What the tasks on the workspace's modules share: help of their flags, and what they report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dagster_module_builder.commands import console

NAME_HELP = "The module's name, or the path of its folder."
UP_HELP = "Build and start what changed, as 'workspace.up' does."
ADOPT_HELP = "Take over what an older version, or a person, put there for it without marking it."
FORCE_HELP = "Discard manual edits inside managed blocks."


def tell_dagster(outcome: Any, root: Path, *, start: bool, say: Callable[[str], None] = console.say) -> None:
    """Have a running Dagster take the change in, and with ``--up`` build and start what changed first."""
    from dagster_module_builder.compose import docker
    from dagster_module_builder.health import live

    if outcome.dry_run:
        for line in live.to_be_loaded_again(root, outcome):
            say(line)
        return
    started = start and bool(outcome.plan.effective) and live.needs_up(outcome)
    if started:
        docker.up(root)
    for line in live.tell_dagster(root, outcome, started=started):
        say(line)


def say_outcome(outcome: Any, root: Path, verb: str, preposition: str) -> None:
    """Print what a command changed, or, of a dry run, the diff."""
    for note in outcome.notes:
        console.tell(note)
    if outcome.dry_run:
        console.say_diff(outcome.plan.diff())
        console.tell("Nothing was changed.")
        return
    named = ", ".join(outcome.modules) if len(outcome.modules) < 4 else f"{len(outcome.modules)} modules"
    console.say(f"{verb} {named or 'no modules'} {preposition} {root}")
    console.say_plan(outcome.plan, root)
