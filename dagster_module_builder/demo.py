"""The demonstration: create a module in a temporary workspace, add, materialize, show and remove it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from dagster_module_builder.base import ports
from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.health.validate import validate
from dagster_module_builder.modules.module import locate
from dagster_module_builder.native import dev_server, local_dagster, native_environment
from dagster_module_builder.programs import graphql
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.external_checks import requirements
from dagster_module_builder.workspaces.initialize import initialize
from dagster_module_builder.workspaces.listing import listing
from dagster_module_builder.workspaces.new import new
from dagster_module_builder.workspaces.remove import remove_module
from dagster_module_builder.workspaces.workspace import read_workspace

MODULE = "penguins"

#: Called with a description of each step before it starts.
Announce = Callable[[str], None]


@dataclass(frozen=True)
class DemoResult:
    """The files that the demo created and changed, what it materialized, and when Dagster's page showed it.

    Attributes:
        shown_after: Seconds from the demo's start until the page of Dagster had the first materialization.
    """

    root: Path
    files_made: int
    files_changed: int
    materialized: local_dagster.MaterializeResult
    shown_after: float


class DemoError(BuilderError):
    """The demo failed, which is a bug in this program."""


def demo(root: Path, announce: Announce) -> DemoResult:
    """Run the demonstration in ``root``, an empty or missing folder.

    Args:
        root: The temporary workspace's root.
        announce: Called with each step.

    Raises:
        BuilderError: A step failed.
    """
    started = time.monotonic()
    announce("init: create an empty workspace")
    initialize(root, lasting=False)
    before = read_workspace(root).files
    announce(f"new: create the module {MODULE}, with measurements of penguins")
    created = new(root, MODULE, {"title": "Penguins", "database": "none", "starter": "sample"}, lasting=False)
    module = locate(root, MODULE)
    # What takes long begins as early as it can: the demonstration takes as long as the longest of it.
    with ThreadPoolExecutor(1) as beside:
        made = beside.submit(native_environment.shared_environment, root, also=module)
        announce("add: merge the module into the workspace's shared files")
        added = add_module(root, MODULE, checks=(requirements,))
        announce("environment: install Dagster and what the module requires")
        made.result()
        announce("materialize and dev: run the assets while Dagster starts without Docker, and find them in its page")
        materializing = beside.submit(local_dagster.materialize, root, module)
        shown_after = _shown_in_page(root, materializing) - started
        materialized = materializing.result()
    announce("list and validate: check the workspace")
    _expect([module.name for module in listing(root) if module.integrated] == [MODULE], "the module is not listed")
    findings = validate(root, check=False)
    _expect(not findings, "; ".join(map(str, findings)))
    announce("remove: restore the shared files byte for byte")
    remove_module(root, MODULE)
    _expect(read_workspace(root).files == before, "the shared files differ from before")
    return DemoResult(root, len(created.files), len(added.plan.effective), materialized, shown_after)


class _Shown(Exception):  # noqa: N818 - it is no error
    """Ends a Dagster that has shown what it was started for."""


def _shown_in_page(root: Path, materializing: Future[local_dagster.MaterializeResult]) -> float:
    """Run Dagster until its page shows the module's assets; return that moment (``time.monotonic``)."""
    shown: dict[str, datetime] = {}
    moment = 0.0

    def look(ready: dev_server.Ready) -> NoReturn:
        _expect(not ready.failed, "; ".join(f"{one.location}: {one.error}" for one in ready.failed))
        nonlocal moment
        materializing.result()
        shown.update(graphql.last_materializations(ready.url))
        moment = time.monotonic()
        raise _Shown

    with contextlib.suppress(_Shown):
        dev_server.dev(root, ports.next_free_port((), 3000), events=dev_server.DevEvents(ready=look))
    _expect(MODULE in shown, "Dagster's page does not show the materialization")
    return moment


def _expect(condition: bool, failure: str) -> None:
    if not condition:
        raise DemoError(f"The demo failed: {failure}.")
