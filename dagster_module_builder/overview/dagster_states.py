"""What Dagster says of a workspace's code locations, within two seconds, or nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.health.dagster_addresses import all_addresses, listening
from dagster_module_builder.native.native_history import native_materializations
from dagster_module_builder.workspaces.workspace import Workspace

#: How long Dagster, and Docker that knows whose it is, may take to answer, in seconds.
ANSWER_WAIT = 2.0
#: What reading an answer of another shape raises: any program may listen there, and Dagster has many versions.
_STRANGE = (LookupError, TypeError, ValueError, AttributeError, OverflowError)


@dataclass(frozen=True)
class DagsterStates:
    """What is known of the code locations.

    Attributes:
        url: The address of the Dagster that answered, or None.
        errors: By each location that it has: None if it is loaded, else the error.
        materialized: When an asset of a location was last materialized.
        note: What is not known, and why; empty if all is.
    """

    url: str | None = None
    errors: Mapping[str, str | None] = field(default_factory=dict)
    materialized: Mapping[str, datetime] = field(default_factory=dict)
    note: str = ""


def dagster_states(workspace: Workspace) -> DagsterStates:
    """Ask the Dagster that runs a workspace; where none does, read when its modules were last run natively."""
    addresses = listening(all_addresses(workspace))
    if not addresses:
        return _not_running(workspace.root, "Dagster does not run")
    answered = within(ANSWER_WAIT, lambda: _ask(workspace, addresses))
    return answered or _not_running(
        workspace.root, f"Dagster did not answer at {' or '.join(addresses)} within {ANSWER_WAIT:.0f} seconds"
    )


def within(seconds: float, ask: Callable[[], DagsterStates]) -> DagsterStates | None:
    """Return an answer, or None if it takes longer; what is still asked then ends with this process."""
    answers: list[DagsterStates] = []
    asking = threading.Thread(target=lambda: answers.append(ask()), daemon=True)
    asking.start()
    asking.join(seconds)
    return next(iter(answers), None)


def _ask(workspace: Workspace, addresses: list[str]) -> DagsterStates:
    try:
        return _answer(workspace, addresses)
    except BuilderError as error:
        return _not_running(workspace.root, _sentence(error))
    except _STRANGE:
        return _not_running(workspace.root, f"What listens at {' or '.join(addresses)} does not answer as Dagster does")


def _answer(workspace: Workspace, addresses: list[str]) -> DagsterStates:
    # Imported late: these start programs, and most of the time no Dagster runs.
    from dagster_module_builder.health.find_dagster import RunningDagster, find_at
    from dagster_module_builder.programs import graphql

    running = find_at(workspace, addresses)
    if not isinstance(running, RunningDagster):
        other = f", and the one at {running.url} is not this workspace's" if running else ""
        return _not_running(workspace.root, f"Dagster does not run{other}")
    errors = graphql.location_states(running.url)
    try:
        return DagsterStates(running.url, errors, graphql.last_materializations(running.url))
    except (BuilderError, *_STRANGE) as error:
        why = _sentence(error) if isinstance(error, BuilderError) else "Another version of Dagster answers otherwise"
        return DagsterStates(running.url, errors, note=f"{why}: materializations are unknown.")


def _sentence(error: BuilderError) -> str:
    return str(error).partition("\n")[0].rstrip(".")


def _not_running(root: Path, why: str) -> DagsterStates:
    materialized = native_materializations(root)
    shown = " Materializations are those of native runs." if materialized else ""
    return DagsterStates(materialized=materialized, note=f"{why}: the state of code locations is unknown.{shown}")
