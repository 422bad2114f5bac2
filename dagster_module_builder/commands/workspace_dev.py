"""``workspace.dev``: run Dagster here without Docker, and say when it is ready."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context

from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import ROOT_HELP, command, root_of
from dagster_module_builder.commands.live_display import Activity
from dagster_module_builder.disclosure import terminal

if TYPE_CHECKING:
    from dagster_module_builder.native.dev_server import Ready


@command(
    "workspace.dev",
    help={
        "root": ROOT_HELP,
        "port": "Port of Dagster's page (default: DAGSTER_PORT in .env).",
        "open": "Open the page in the browser when it is ready.",
        "verbose": "Show Dagster's log.",
    },
)
def dev(
    _context: Context,
    root: str | None = None,
    port: int = 0,
    open: bool = False,  # noqa: A002 - the flag's name
    verbose: bool = False,
) -> None:
    """Run Dagster here without Docker, until interrupted."""
    from dagster_module_builder.native import dev_server
    from dagster_module_builder.workspaces.workspace import read_workspace

    root_path = root_of(root)
    page_port = port or int(read_workspace(root_path).own_env.get("DAGSTER_PORT") or 3000)
    with Activity(moves=not verbose) as activity:

        def ready(state: Ready) -> None:
            activity.end()
            _say_ready(state)
            if open:
                _open(state.url)

        events = dev_server.DevEvents(
            starting=lambda: _name_databases(root_path),
            step=activity.step,
            tell=console.inform,
            ready=ready,
            stopping=lambda: activity.step("Stopping Dagster"),
            log=_show_log if verbose else None,
        )
        dev_server.dev(root_path, page_port, events=events)


def _name_databases(root: Path) -> None:
    from dagster_module_builder.native import local_dagster

    for database in local_dagster.databases_down(root):
        start = f" Start it with:\n  {database.command}" if database.command else ""
        console.inform(f"{database.service} does not answer on port {database.port}.{start}")


def _say_ready(state: Ready) -> None:
    count = console.counted(state.loaded, "code location")
    if state.failed:
        count = f"{state.loaded} of {console.counted(state.loaded + len(state.failed), 'code location')}"
    if console.is_for_programs():
        failed = [asdict(failure) for failure in state.failed]
        console.give_line({"address": state.url, "loaded": state.loaded, "failed": failed, "log": str(state.log)})
    console.say(_separated(f"Dagster is at {state.url}", f"{count} loaded", "Ctrl-C stops it"))
    for failure in state.failed:
        name = f"{failure.location} does not load: " if failure.location else ""
        console.alert(f"{name}{failure.error}" + (f"\n  {failure.place}" if failure.place else ""))
    if state.failed:
        console.alert(f"Dagster's log: {state.log}")


def _separated(*parts: str) -> str:
    """Join parts of a line by dots, where stdout can write them."""
    try:
        "·".encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return " - ".join(parts)
    return " · ".join(parts)


def _show_log(lines: str) -> None:
    keeps_colours = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    terminal.write(sys.stderr, lines, end="", form=terminal.coloured if keeps_colours else terminal.uncoloured)


def _open(url: str) -> None:
    """Open a page in the browser, which may run for as long as the page is open."""
    if not _has_browser():
        console.inform(f"No browser was found here ($BROWSER names one). Open {url} yourself.")
        return
    threading.Thread(target=_open_now, args=(url,), daemon=True).start()


def _open_now(url: str) -> None:
    import webbrowser

    if not webbrowser.open(url):
        console.inform(f"The browser could not be started. Open {url} yourself.")


def _has_browser() -> bool:
    """Return whether there is a browser with windows: one of text takes the terminal and shows no page."""
    if os.environ.get("BROWSER") or sys.platform == "darwin":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


TASKS = (dev,)
