"""Each module of a workspace with the state of its code location, its last materialization and its deployments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.deploy.model.deployment import deployments_of
from dagster_module_builder.overview.dagster_states import DagsterStates, dagster_states
from dagster_module_builder.programs.graphql import LOADING
from dagster_module_builder.workspaces.listing import Listed, listing
from dagster_module_builder.workspaces.workspace import look_at


@dataclass(frozen=True)
class ModuleState:
    """A module as it is listed.

    Attributes:
        module: What the workspace says of it.
        location: ``loaded``, ``failed``, ``loading`` or ``not loaded``; None if it is unknown.
        location_error: In one line, why its code does not load.
        materialized: When one of its assets was last materialized.
        deployments: The names of its deployments.
    """

    module: Listed
    location: str | None = None
    location_error: str | None = None
    materialized: datetime | None = None
    deployments: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as data."""
        return {
            **self.module.to_json(),
            "location": self.location,
            "location_error": self.location_error,
            "last_materialization": self.materialized and self.materialized.isoformat(timespec="seconds"),
            "deployments": list(self.deployments),
        }


@dataclass(frozen=True)
class Overview:
    """The modules, and what Dagster said."""

    modules: tuple[ModuleState, ...]
    dagster: DagsterStates


def overview(root: Path) -> Overview:
    """Return the modules of a workspace, with what the Dagster that runs it says of them."""
    modules = listing(root)
    # Without modules there is nothing that Dagster could be asked about.
    dagster = dagster_states(look_at(root)) if modules else DagsterStates()
    states = (_state(module, dagster, _deployments(root / module.path)) for module in modules)
    return Overview(tuple(states), dagster)


def _deployments(module: Path) -> Iterable[str]:
    return [folder.name for folder in deployments_of(module)]


def _state(module: Listed, dagster: DagsterStates, deployments: Iterable[str]) -> ModuleState:
    location = ModuleNames(module.name).snake
    state, error = _of_location(dagster, location, integrated=module.integrated)
    return ModuleState(module, state, error, dagster.materialized.get(location), tuple(deployments))


def _of_location(dagster: DagsterStates, name: str, *, integrated: bool) -> tuple[str | None, str | None]:
    if name not in dagster.errors:
        return "not loaded" if dagster.url and integrated else None, None
    error = dagster.errors[name]
    if error is None or error == LOADING:
        return "loaded" if error is None else "loading", None
    return "failed", error
