"""Making a running Dagster load a changed workspace, and reporting the result.

The webserver reads the workspace file again on request. The daemon reads it only once a minute, and a run that is
queued before that fails. So the daemon is restarted if no run is in progress (its runs die with it); otherwise the
command waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dagster_module_builder.base.errors import RefusedError, ToolError
from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.claims.facts import location_names
from dagster_module_builder.compose import docker, served
from dagster_module_builder.health.find_dagster import OtherDagster, RunningDagster, find_running
from dagster_module_builder.health.loaded_code import changed_at, is_mounted
from dagster_module_builder.native import code_servers, local_dagster
from dagster_module_builder.native.location_entries import locations as native_locations
from dagster_module_builder.programs import graphql
from dagster_module_builder.shared_files.formats import compose, dockerfile, workspace_yaml
from dagster_module_builder.shared_files.formats.yaml_text import parsed
from dagster_module_builder.workspaces.carrying_out import WorkspaceChange
from dagster_module_builder.workspaces.workspace import Workspace, look_at

#: How long a location may take to load, in seconds.
LOAD_WAIT = 120.0
#: How long containers wait for runs before they are restarted, in seconds.
RUNS_WAIT = 600.0
#: How often the daemon reads the workspace file by itself, in seconds; a little more than Dagster's minute.
DAEMON_READS_EVERY = 65.0


def tell_dagster(root: Path, outcome: WorkspaceChange, *, started: bool = False) -> Iterator[str]:
    """Make a running Dagster load a change; yield messages about the result, none if no Dagster is running.

    Args:
        root: The workspace's root.
        outcome: The change.
        started: Whether the containers were built and started after the change.
    """
    workspace = look_at(root)
    effective = bool(outcome.plan.effective)
    try:
        running = find_running(workspace) if effective or outcome.modules else None
    except ToolError as error:
        yield f"Warning: Cannot find out whether a Dagster is running that must load the change. {error}"
        return
    if isinstance(running, OtherDagster) and effective:
        yield str(running)
    if not isinstance(running, RunningDagster):
        return
    try:
        yield from _told(workspace, running, outcome, effective=effective)
    except ToolError as error:
        # The change was made; only Dagster has not loaded it.
        yield f"Warning: {error}"
    if needs_up(outcome) and not started:
        yield "The image or the containers changed. Run 'workspace.up' to build and start them."


def await_runs(root: Path, services: Sequence[str], say: Callable[[str], None]) -> None:
    """Wait for runs in progress, which end with the containers of services that are about to be restarted.

    Args:
        root: The workspace's root.
        services: The services.
        say: Is told that this waits.

    Raises:
        RefusedError: Some are still in progress after ten minutes. Nothing was restarted.
    """
    workspace = look_at(root)
    running = None if workspace.as_target.in_containers else find_running(workspace)
    if not isinstance(running, RunningDagster) or not (runs := graphql.runs_in_progress(running.url)):
        return
    say(f"Runs in progress: {len(runs)}. Waiting until they end, since {', '.join(services)} will be restarted…")
    end = time.monotonic() + RUNS_WAIT
    while runs and time.monotonic() < end:
        time.sleep(1)
        runs = graphql.runs_in_progress(running.url)
    if runs:
        raise RefusedError(
            f"Runs are still in progress: {', '.join(runs)}. Nothing was restarted. "
            f"Wait for them, or end them at {running.url}/runs. Then run 'workspace.up'."
        )


def await_locations(root: Path, tell: Callable[[str], None]) -> dict[str, str | None]:
    """Wait until a running Dagster has loaded every code location, as long as it gets on with them.

    Args:
        root: The workspace's root.
        tell: Gets each location's state when it is known.

    Returns:
        Why each location does not load, by name; None if it does. Nothing if no Dagster of this workspace answers.
    """
    running = find_running(look_at(root))
    if not isinstance(running, RunningDagster):
        return {}
    told: dict[str, str | None] = {}
    end = time.monotonic() + LOAD_WAIT
    while True:
        try:
            states = graphql.location_states(running.url)
        except ToolError:
            # A webserver that loads many locations may be too busy to answer.
            if time.monotonic() > end:
                raise
            continue
        known = {name: state for name, state in states.items() if state != graphql.LOADING}
        for name in known.keys() - told.keys():
            tell(f"  {name}: {'loaded' if known[name] is None else 'does not load'}")
            end = time.monotonic() + LOAD_WAIT
        told = {**told, **known}
        if len(known) == len(states) or time.monotonic() > end:
            return {name: told.get(name, f"it is still loading after {LOAD_WAIT:.0f} seconds") for name in states}
        time.sleep(0.5)


def to_be_loaded_again(root: Path, outcome: WorkspaceChange) -> Iterator[str]:
    """Yield messages about locations that a running Dagster has with older code, which ``tell_dagster`` would reload.

    Args:
        root: The workspace's root.
        outcome: A change that was only planned.
    """
    workspace = look_at(root)
    try:
        running = find_running(workspace) if outcome.modules else None
        older = _older(workspace, running, outcome.modules) if isinstance(running, RunningDagster) else {}
    except ToolError as error:
        yield f"Warning: Cannot find out whether a running Dagster has older code. {error}"
        return
    for name in older:
        yield f"The code of {name} changed since the running Dagster loaded it. Reload it with 'workspace.sync'."


def _told(workspace: Workspace, running: RunningDagster, outcome: WorkspaceChange, *, effective: bool) -> Iterator[str]:
    older = _older(workspace, running, outcome.modules)
    if not effective and not older:
        return
    if running.is_native:
        code_servers.await_served(workspace.root, local_dagster.prepare(workspace.root).workspace)
    elif (service := workspace.as_target.served_apart) and (list_ := service.option("--served")):
        served.await_served(workspace.root, service.name, list_)
    if effective:
        graphql.reload_workspace(running.url)
    for location, module in older.items():
        yield from _loaded_again(workspace, running, location, module)
    if effective:
        names = [ModuleNames(name).snake for name in outcome.modules]
        yield from _states(running.url, names, _locations(workspace))
    yield from _daemon(workspace.root, running)


def _older(workspace: Workspace, running: RunningDagster, modules: Sequence[str]) -> dict[str, Path]:
    """Return the locations of these modules whose code changed since this Dagster loaded it, with their folders."""
    loaded = graphql.loaded_at(running.url)
    entries = [entry for name in modules if (entry := workspace.registry.find(name))]
    folders = {entry.marker: workspace.root / entry.path for entry in entries}
    return {name: folder for name, folder in folders.items() if name in loaded and changed_at(folder) > loaded[name]}


def _loaded_again(workspace: Workspace, running: RunningDagster, name: str, module: Path) -> Iterator[str]:
    location = next((each for each in native_locations(workspace.root) if each.module == module), None)
    if running.daemons and location and not is_mounted(workspace.root, module, location, workspace.code_services):
        yield f"The code of {name} changed, and is part of its image. Run 'workspace.up' to build and start it."
        return
    problem = graphql.reload_location(running.url, name)
    if problem:
        yield f"Warning: Dagster does not load the location {name}: {problem}"
    else:
        yield f"Dagster reloaded the location {name} with its changed code."


def needs_up(outcome: WorkspaceChange) -> bool:
    """Return whether a running workspace gets a change only through ``workspace.up``."""
    return any(change.shown_as in {dockerfile.NAME, compose.NAME} for change in outcome.plan.effective)


def _locations(workspace: Workspace) -> set[str]:
    if workspace.layout.is_dg:
        return {location.name for location in native_locations(workspace.root)}
    data = parsed(workspace.files[workspace_yaml.NAME] or b"")
    return set(location_names(data.get("load_from") if isinstance(data, dict) else None))


def _states(url: str, names: Sequence[str], wanted: set[str]) -> Iterator[str]:
    end = time.monotonic() + LOAD_WAIT
    states = graphql.location_states(url)
    while graphql.LOADING in (states.get(name) for name in names) and time.monotonic() < end:
        time.sleep(0.5)
        states = graphql.location_states(url)
    for name in names:
        if (name in states) != (name in wanted):
            has = "still has" if name in states else "does not have"
            yield f"Warning: the Dagster at {url} {has} the location {name}."
        elif name not in states:
            yield f"Dagster removed the location {name}."
        elif states[name] is None:
            yield f"Dagster loaded the location {name}."
        else:
            yield f"Warning: Dagster does not load the location {name}: {states[name]}"


def _daemon(root: Path, running: RunningDagster) -> Iterator[str]:
    if not running.daemons:
        # The daemon of 'workspace.dev' cannot be restarted separately.
        yield "Dagster's daemon reads the change within a minute; a run that starts before that fails."
        return
    read_by = time.monotonic() + DAEMON_READS_EVERY
    runs = graphql.runs_in_progress(running.url)
    if runs:
        yield f"Runs in progress: {len(runs)}. Waiting until they end or the daemon has read the change…"
    while runs and time.monotonic() < read_by:
        time.sleep(1)
        runs = graphql.runs_in_progress(running.url)
    if runs:
        yield "Dagster's daemon has read the change."
        return
    for daemon in running.daemons:
        docker.restart(root, daemon)
    yield "Dagster's daemon was restarted, and has read the change."
