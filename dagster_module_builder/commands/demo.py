"""``demo``: create, run and remove a module in a temporary workspace."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context

from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import command
from dagster_module_builder.commands.task_output import step

if TYPE_CHECKING:
    from dagster_module_builder.demo import DemoResult


#: Seconds: an environment that was made longer ago was not made for the demo.
_JUST_NOW = 600.0


@command("demo", help={"keep": "Keep the temporary workspace."})
def demo(_context: Context, keep: bool = False) -> None:
    """Create a module in a temporary workspace, run it, show it in Dagster's page, and remove it."""
    from dagster_module_builder.demo import demo as run_demo

    folder = Path(tempfile.mkdtemp(prefix="dagster-demo-"))
    started, installed = time.monotonic(), _seconds_since_installation()
    try:
        result = run_demo(folder / "workspace", _Steps().announce)
        _sum_up(result, time.monotonic() - started, installed, keep=keep)
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
            console.inform(f"      {now - self._since:.1f} s")
        self._number += 1
        console.inform(f"[{self._number}/7] {text}")
        self._since = now


def _seconds_since_installation() -> float | None:
    """Return how long ago the environment of this program was begun; None if that was not just before."""
    with contextlib.suppress(OSError):
        age = time.time() - (Path(sys.prefix) / "pyvenv.cfg").stat().st_mtime
        return age if 0 <= age < _JUST_NOW else None
    return None


def _sum_up(result: DemoResult, seconds: float, installed: float | None, *, keep: bool) -> None:
    console.say(
        f"\nDone in {seconds:.0f} s: {result.files_made} files created, "
        f"{result.files_changed} shared files changed by add and restored by remove."
    )
    console.say(f"The first asset was in Dagster's page after {result.shown_after:.0f} s.")
    if installed is not None:
        console.say(f"From the bare clone, with the installation, it took {installed + result.shown_after:.0f} s.")
    console.say()
    console.give(
        {
            "seconds": round(seconds, 1),
            "seconds_to_page": round(result.shown_after, 1),
            "seconds_from_clone": None if installed is None else round(installed + result.shown_after, 1),
            "files_made": result.files_made,
            "files_changed": result.files_changed,
            "materialized": asdict(result.materialized),
            "kept": str(result.root) if keep else None,
        }
    )
    console.say_materialized(result.materialized)
    console.say(f"\nThe workspace is in {result.root}." if keep else "\nThe temporary workspace was deleted.")
    console.say_next(
        step("create your workspace, in ~/workspace", "workspace.init"),
        step("create a module in it", "new", "my-module", "--workspace", "yes"),
        step("run Dagster at http://127.0.0.1:3000", "workspace.dev"),
    )
