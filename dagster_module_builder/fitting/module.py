"""Fitting all parts of a module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dagster_module_builder.base.errors import ConflictError
from dagster_module_builder.fitting.code import locate_code, relocated
from dagster_module_builder.fitting.image import fit_image
from dagster_module_builder.fitting.runs import for_runs, run_image_findings
from dagster_module_builder.fitting.services import networked, with_additions
from dagster_module_builder.fitting.storage import keep_outputs
from dagster_module_builder.fitting.target_workspace import Contributions, Findings, TargetWorkspace, body_of, load
from dagster_module_builder.fitting.variables import pass_variables, refuse_repeated_variables
from dagster_module_builder.fitting.workspace_file import workspace_file_findings
from dagster_module_builder.shared_files.formats import compose, dagster_yaml, dockerfile, env_file, workspace_yaml


def fitted(
    workspace: TargetWorkspace, module: Path, marker: str, contributions: Contributions
) -> tuple[Contributions, list[str]]:
    """Return a module's contributions to this workspace's files, and notes for the user.

    Args:
        workspace: The workspace.
        module: The module's folder.
        marker: Its snake name.
        contributions: Its contributions as its fragments have them.

    Raises:
        ConflictError: The module would not work in this workspace; names every reason.
    """
    findings = Findings()
    files = {file: list(slots) for file, slots in contributions.items()}
    entries = _entries(files)
    if any(kind != "grpc_server" for kind, _ in entries):
        paths = locate_code(workspace, findings, entries)
        files[workspace_yaml.NAME] = [relocated(workspace, location, paths) for location in files[workspace_yaml.NAME]]
        storage = keep_outputs(workspace, findings, marker)
        pass_variables(workspace, findings, env_file.keys(body_of(files.get(env_file.NAME, ()))))
        files[dockerfile.NAME] = fit_image(workspace, findings, module, files.get(dockerfile.NAME, ()), paths, storage)
        for common in (workspace.once(workspace_file_findings), workspace.once(run_image_findings)):
            findings.reasons += common.reasons
            findings.notes += common.notes
    files[compose.NAME] = with_additions(
        workspace, findings, networked(workspace, findings, files.get(compose.NAME, ()))
    )
    refuse_repeated_variables(workspace, findings, contributions.get(compose.NAME, ()))
    files[dagster_yaml.NAME] = for_runs(workspace, findings, files)
    if findings.reasons:
        raise ConflictError([f"{module.name}: {reason}" for reason in findings.reasons])
    return files, findings.notes


def _entries(files: Contributions) -> list[tuple[str, Any]]:
    items = [item for contribution in files.get(workspace_yaml.NAME, ()) for item in load(contribution.sequence) or ()]
    return [pair for item in items if isinstance(item, dict) for pair in item.items()]
