"""``care.*``: what keeps a Dagster well that has run for years."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from invoke.context import Context

from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import DRY_RUN_HELP, ROOT_HELP, YES_HELP, command, root_of

if TYPE_CHECKING:
    from dagster_module_builder.care.prune import Pruned

#: Seconds between two lines about how far it is.
_PAUSE = 2.0


@command(
    "care.prune",
    help={
        "root": ROOT_HELP,
        "older-than": "How old what goes has to be: 90d, 12h or 2w (default: 90d).",
        "dry-run": DRY_RUN_HELP,
        "yes": YES_HELP,
    },
)
def prune(
    _context: Context, root: str | None = None, older_than: str = "90d", dry_run: bool = False, yes: bool = False
) -> None:
    """Remove old runs, logs and ticks from Dagster's storage; the latest of every asset stays."""
    from dataclasses import asdict

    from dagster_module_builder.care import prune as pruning
    from dagster_module_builder.workspaces.workspace import read_workspace

    workspace = read_workspace(root_of(root))
    seconds = pruning.seconds_of(older_than)
    question = f"Remove what is older than {older_than} from Dagster's storage?"
    if not dry_run and not console.confirmed(question, yes=yes):
        console.inform("Nothing was changed.")
        return
    pruned = pruning.prune(workspace, seconds, _Pace(), dry_run=dry_run)
    console.give({"instances": [asdict(one) for one in pruned]})
    for one in pruned:
        _say(one, dry_run=dry_run)


def _say(pruned: Pruned, *, dry_run: bool) -> None:
    counts = [
        console.counted(pruned.runs, "run"),
        console.counted(pruned.events, "event"),
        console.counted(pruned.checks, "check result"),
        console.counted(pruned.ticks, "tick"),
        console.counted(pruned.evaluations, "evaluation"),
    ]
    console.say(f"{pruned.instance}: {'would remove' if dry_run else 'removed'} {', '.join(counts)}.")
    if pruned.runs_kept:
        console.say(f"{console.counted(pruned.runs_kept, 'old run')} with the latest of an asset or check kept that.")
    if not dry_run:
        console.say(f"The databases had {_megabytes(pruned.bytes_before)} and have {_megabytes(pruned.bytes_after)}.")
    for problem in pruned.problems:
        console.inform(problem)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


class _Pace:
    """Says now and then how far it is."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Take how many of how many runs were looked at."""
        if time.monotonic() - self._said >= _PAUSE:
            self._said = time.monotonic()
            console.inform(f"Looked at {done:,} of {total:,} runs…")


TASKS = [prune]
