"""``demo``: the main job once, with nothing left behind."""

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
    from dagster_module_builder.demo import Shown


@command("demo", help={"keep": "Keep the workspace that it makes."})
def demo(_context: Context, keep: bool = False) -> None:
    """Make a module in a throw-away workspace, run it in Dagster, and take it out again."""
    from dagster_module_builder.demo import demo as show

    folder = Path(tempfile.mkdtemp(prefix="dagster-demo-"))
    started = time.monotonic()
    try:
        shown = show(folder / "workspace", _Steps().announce)
        _sum_up(shown, time.monotonic() - started, keep=keep)
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


class _Steps:
    """Prints each step as it begins, with the time that the one before took, on stderr."""

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


def _sum_up(shown: Shown, seconds: float, *, keep: bool) -> None:
    console.say(f"\nDone in {seconds:.0f} s: {shown.files_made} files made, {shown.files_changed} shared files changed "
                "by add and restored by remove.\n")  # fmt: skip
    console.say_materialized(shown.materialized)
    console.say(f"\nThe workspace is kept in {shown.root}." if keep else "\nThe throw-away workspace is gone again.")
    console.say_next(
        [
            ("workspace.init", "a workspace of your own, in ~/workspace"),
            ("new my-module --workspace yes", "a module in it"),
            ("workspace.dev", "Dagster at http://127.0.0.1:3000"),
        ]
    )
