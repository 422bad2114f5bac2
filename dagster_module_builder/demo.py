"""The demonstration: create a module in a temporary workspace, add, materialize and remove it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.health.validate import validate
from dagster_module_builder.modules.module import locate
from dagster_module_builder.native import local_dagster
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
    """The files that the demo created and changed, and what it materialized."""

    root: Path
    files_made: int
    files_changed: int
    materialized: local_dagster.MaterializeResult


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
    announce("init: create an empty workspace")
    initialize(root, lasting=False)
    before = read_workspace(root).files
    announce(f"new: create the module {MODULE}, with measurements of penguins")
    created = new(root, MODULE, {"title": "Penguins", "database": "none", "starter": "sample"}, lasting=False)
    announce("add: merge the module into the workspace's shared files")
    added = add_module(root, MODULE, checks=(requirements,))
    announce("materialize: create the environment, then run its assets in Dagster")
    materialized = local_dagster.materialize(root, locate(root, MODULE))
    announce("list and validate: check the workspace")
    _expect([module.name for module in listing(root) if module.integrated] == [MODULE], "the module is not listed")
    findings = validate(root, check=False)
    _expect(not findings, "; ".join(map(str, findings)))
    announce("remove: restore the shared files byte for byte")
    remove_module(root, MODULE)
    _expect(read_workspace(root).files == before, "the shared files differ from before")
    return DemoResult(root, len(created.files), len(added.plan.effective), materialized)


def _expect(condition: bool, failure: str) -> None:
    if not condition:
        raise DemoError(f"The demo failed: {failure}.")
