"""Telling a running Dagster that its workspace has changed, and what it makes of it.

The webserver reads the workspace file anew when told so. The daemon does so by itself, but only once a minute, and a
run that is queued before fails; so it is restarted when no run is in progress (its runs die with it), and waited for
otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from dagster_module_builder import docker, graphql
from dagster_module_builder.errors import ToolError
from dagster_module_builder.formats import compose, dockerfile
from dagster_module_builder.integrate import Outcome
from dagster_module_builder.names import ModuleNames
from dagster_module_builder.workspace import Workspace, read_workspace

#: How long a location may take to load, in seconds.
LOAD_WAIT = 120.0
#: How often the daemon reads the workspace file by itself, in seconds; a little more than Dagster's minute.
DAEMON_READS_EVERY = 65.0

DAEMON = "dagster_daemon"


def url_of(workspace: Workspace) -> str:
    """Return where the workspace's webserver is."""
    return f"http://127.0.0.1:{workspace.own_env.get('DAGSTER_PORT') or 3000}"


def tell_dagster(root: Path, outcome: Outcome) -> Iterator[str]:
    """Have a running Dagster take the change in; yield what came of it. Silent where none runs."""
    url = url_of(read_workspace(root))
    if not outcome.plan.effective or not graphql.is_up(url):
        return
    graphql.reload_workspace(url)
    yield from _states(url, [ModuleNames(name).snake for name in outcome.modules])
    yield from _daemon(root, url)
    if needs_up(outcome):
        yield "The image or the containers changed: run 'workspace.up' to build and start them."


def needs_up(outcome: Outcome) -> bool:
    """Tell whether a change reaches a running workspace only by ``workspace.up``."""
    return any(change.path.name in {dockerfile.NAME, compose.NAME} for change in outcome.plan.effective)


def _states(url: str, names: Sequence[str]) -> Iterator[str]:
    end = time.monotonic() + LOAD_WAIT
    states = graphql.location_states(url)
    while graphql.LOADING in (states.get(name) for name in names) and time.monotonic() < end:
        time.sleep(0.5)
        states = graphql.location_states(url)
    for name in names:
        if name not in states:
            yield f"Dagster: the location {name} is gone."
        elif states[name] is None:
            yield f"Dagster: the location {name} is loaded."
        else:
            yield f"Warning: Dagster does not load the location {name}: {states[name]}"


def _daemon(root: Path, url: str) -> Iterator[str]:
    if DAEMON not in _containers(root):
        # 'workspace.dev', whose daemon is part of it and cannot be restarted alone.
        yield "Its daemon reads the change within a minute; a run that is started before fails."
        return
    running = graphql.runs_in_progress(url)
    if running:
        yield f"{len(running)} runs are in progress: waiting until the daemon has read the change…"
        time.sleep(DAEMON_READS_EVERY)
        yield "The daemon knows the change."
    else:
        docker.restart(root, DAEMON)
        yield "The daemon was restarted, and knows the change."


def _containers(root: Path) -> set[str]:
    try:
        return {service.name for service in docker.services(root) if service.state == "running"}
    except ToolError:
        return set()
