"""A workspace: which one and why, its files, its modules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.doctor.diagnosis import Diagnosis, ok, problem, warning
from dagster_module_builder.health.validate import validate
from dagster_module_builder.modules import record
from dagster_module_builder.native import native_folder
from dagster_module_builder.upgrade import run as upgrades
from dagster_module_builder.workspaces.listing import listing


def files(root: Path) -> Iterator[Diagnosis]:
    """Look for problems in the registry, blocks, fragments and shared files."""
    findings = validate(root)
    for finding in findings:
        state = problem if finding.severity == "error" else warning
        place = f"{finding.where}: " if finding.where else ""
        yield state("workspace", f"{place}{finding.message}", finding.command or finding.fix)
    if not findings:
        yield ok("workspace", "its files agree with the registry and the modules")


def modules(root: Path) -> Iterator[Diagnosis]:
    """Look which modules are in the workspace, which are not, and which are behind the template."""
    every = listing(root)
    inside = [module for module in every if module.integrated]
    yield ok("modules", f"{len(inside)} of {len(every)} in {layout_of(root).named_module_folders} are in the workspace")
    newest = record.template_version()
    for module in inside:
        if module.missing:
            yield problem("modules", f"{module.name}: its folder is gone", f"workspace.remove {module.name}")
        elif module.template_version and module.template_version != newest:
            text = f"{module.name} is from the template {module.template_version}; {newest} is the current one"
            yield warning("modules", text, f"upgrade {module.name}")
    for name in upgrades.waiting(root):
        yield problem(
            "modules", f"the upgrade of {name} has conflicts that are not resolved", f"upgrade {name} --continue"
        )


def environment(root: Path) -> Iterator[Diagnosis]:
    """Look whether the native environments' Python is still there."""
    for python in sorted((root / native_folder.FOLDER).glob("**/bin/pytho[n]")):
        if not python.exists():  # A link to nothing, which only a pattern finds.
            folder = python.parents[1]
            yield problem(
                "workspace", f"the Python of {folder} is gone", f"Delete {folder}; it is made again when needed"
            )


def chosen(root: Path, reason: str) -> Iterator[Diagnosis]:
    """Say which workspace is meant, and why that one."""
    if layout_of(root).exists:
        yield ok("workspace", f"{root} ({reason})")
    else:
        yield problem("workspace", f"there is no workspace at {root} ({reason})", f"workspace.init --root {root}")
