"""The main job once, in a throw-away workspace: made, integrated, materialized, removed without a trace."""

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

#: Called with what a step does before it starts.
Announce = Callable[[str], None]


@dataclass(frozen=True)
class Shown:
    """What the demo did."""

    root: Path
    files_made: int
    files_changed: int
    materialized: local_dagster.Outcome


class DemoError(BuilderError):
    """The demo did not come out as it has to: a defect of this program."""


def demo(root: Path, announce: Announce) -> Shown:
    """Do the main job in ``root``, an empty or missing folder.

    Args:
        root: The throw-away workspace's root.
        announce: Told each step.

    Raises:
        BuilderError: A step failed.
    """
    announce("init: an empty workspace")
    initialize(root, lasting=False)
    before = read_workspace(root).files
    announce(f"new: the module {MODULE}, on real measurements of penguins")
    made = new(root, MODULE, {"title": "Penguins", "database": "none", "starter": "sample"}, lasting=False)
    announce("add: the module into the workspace's shared files")
    added = add_module(root, MODULE, checks=(requirements,))
    announce("materialize: the environment first, then its assets in Dagster")
    materialized = local_dagster.materialize(root, locate(root, MODULE))
    announce("list and validate: everything in order")
    _expect([one.name for one in listing(root) if one.integrated] == [MODULE], "the module is not listed")
    findings = validate(root, check=False)
    _expect(not findings, "; ".join(map(str, findings)))
    announce("remove: the shared files are as they were, byte for byte")
    remove_module(root, MODULE)
    _expect(read_workspace(root).files == before, "the shared files are not as they were before")
    return Shown(root, len(made.files), len(added.plan.effective), materialized)


def _expect(fact: bool, otherwise: str) -> None:
    if not fact:
        raise DemoError(f"The demo failed: {otherwise}.")
