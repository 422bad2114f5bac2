"""``demo``: create, run and remove a module in a temporary workspace."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context

from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import command

if TYPE_CHECKING:
    from dagster_module_builder.demo import DemoResult


@command("demo", help={"keep": "Keep the temporary workspace."})
def demo(_context: Context, keep: bool = False) -> None:
    """Create a module in a temporary workspace, run it in Dagster, and remove it."""
    from dagster_module_builder.demo import demo as run_demo

    folder = Path(tempfile.mkdtemp(prefix="dagster-demo-"))
    started = time.monotonic()
    try:
        result = run_demo(folder / "workspace", _Steps().announce)
        _sum_up(result, time.monotonic() - started, keep=keep)
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


class _Steps:
    """Prints each step on stderr as it starts, and how long the previous one took."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._number = 0

    def announce(self, text: str) -> None:
        now = time.monotonic()
        if self._since is not None:
            console.tell(f"      {now - self._since:.1f} s")
        self._number += 1
        console.tell(f"[{self._number}/6] {text}")
        self._since = now


def _sum_up(result: DemoResult, seconds: float, *, keep: bool) -> None:
    console.say(
        f"\nDone in {seconds:.0f} s: {result.files_made} files created, "
        f"{result.files_changed} shared files changed by add and restored by remove.\n"
    )
    console.say_materialized(result.materialized)
    console.say(f"\nThe workspace is in {result.root}." if keep else "\nThe temporary workspace was deleted.")
    console.say_next(
        [
            ("workspace.init", "create your workspace, in ~/workspace"),
            ("new my-module --workspace yes", "create a module in it"),
            ("workspace.dev", "run Dagster at http://127.0.0.1:3000"),
        ]
    )
