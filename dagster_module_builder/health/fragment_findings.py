"""Comparing the registry with the modules' fragments."""

from __future__ import annotations

from collections.abc import Iterator

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import (
    BuilderError,
    FragmentRefusedError,
)
from dagster_module_builder.claims.conflicts import Finding
from dagster_module_builder.health.finding_of_error import PRUNE, SYNC, finding_of
from dagster_module_builder.shared_files.formats import env_file
from dagster_module_builder.workspaces import passwords
from dagster_module_builder.workspaces.module_fragments import ModuleFragments, allowing, place_of, read_fragments
from dagster_module_builder.workspaces.planning import is_current
from dagster_module_builder.workspaces.workspace import Workspace


def fragment_findings(workspace: Workspace) -> Iterator[Finding]:
    """Yield the differences between the registry and the modules' fragments."""
    for entry in workspace.registry.entries:
        path = workspace.root / entry.path
        if not path.is_dir():
            message = f"the folder of {entry.name!r} is gone"
            yield Finding("error", message, str(path), f"Run '{PRUNE}'", entry.name, PRUNE)
            continue
        try:
            fragments = read_fragments(workspace, path)
        except FragmentRefusedError as error:
            yield from (
                Finding("error", text, place, error.way_out, entry.name, error.command)
                for place, text in error.settings
            )
            continue
        except BuilderError as error:
            yield finding_of(error, path / settings.FRAGMENTS, f"Fix it there, and run '{SYNC}'", entry.name)
            continue
        yield from _tolerated(fragments, entry.name)
        if not is_current(workspace, fragments, entry):
            message = f"the fragments of {entry.name!r} changed since it was integrated"
            yield Finding("warning", message, str(path / settings.FRAGMENTS), f"Run '{SYNC}'", entry.name, SYNC)
            yield from _passwords(workspace, fragments, entry.name)


def _tolerated(fragments: ModuleFragments, name: str) -> Iterator[Finding]:
    """Yield the settings that an earlier version integrated without asking."""
    for setting in fragments.tolerated:
        command = allowing(name, [setting], integrated=True)
        where, fix = place_of(fragments.module, setting), f"Remove it, or allow it with '{command}'"
        yield Finding("warning", f"{setting}; it is not allowed yet", where, fix, name, command)


def _passwords(workspace: Workspace, fragments: ModuleFragments, name: str) -> Iterator[Finding]:
    """Yield the changed passwords that a module's running database does not know."""
    lines = [line for part in fragments.contributions[env_file.NAME] for line in part.mapping or part.sequence or ()]
    for change in passwords.changed(workspace, env_file.values(b"\n".join(lines))):
        where = fragments.module.path / settings.FRAGMENTS / env_file.NAME
        yield Finding("warning", str(change), str(where), owner=name, command=SYNC)
