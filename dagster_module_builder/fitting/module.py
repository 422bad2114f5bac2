"""Fitting all parts of a module."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dagster_module_builder.base.errors import ConflictError
from dagster_module_builder.fitting.closed_server import closed
from dagster_module_builder.fitting.code import locate_code, relocated
from dagster_module_builder.fitting.code_server import with_code_server
from dagster_module_builder.fitting.image import fit_image
from dagster_module_builder.fitting.runs import for_runs, run_image_findings
from dagster_module_builder.fitting.services import networked, refuse_inherited, with_additions
from dagster_module_builder.fitting.storage import keep_outputs
from dagster_module_builder.fitting.target_workspace import Contributions, Findings, TargetWorkspace, body_of, load
from dagster_module_builder.fitting.variables import note_other_takers, pass_variables, refuse_repeated_variables
from dagster_module_builder.fitting.workspace_file import workspace_file_findings
from dagster_module_builder.shared_files.formats import compose, dagster_yaml, dockerfile, env_file, workspace_yaml
from dagster_module_builder.shared_files.formats.shared_file import Contribution


def fitted(
    workspace: TargetWorkspace, module: Path, marker: str, contributions: Contributions, *, own_server: bool = False
) -> tuple[Contributions, list[str]]:
    """Return a module's contributions to this workspace's files, and notes for the user.

    A module that the services cannot load gets its own code server.

    Args:
        workspace: The workspace.
        module: The module's folder.
        marker: Its snake name.
        contributions: Its contributions as its fragments have them.
        own_server: Whether it is to have its own code server in any case.

    Raises:
        ConflictError: The module would not work in this workspace; names every reason.
    """
    findings, shared = Findings(), None
    contributions = closed(workspace, module, contributions)
    is_shared = any(kind != "grpc_server" for kind, _ in _entries(contributions))
    if not own_server and (is_shared or workspace.takes_own_servers):
        shared = _as_written(workspace, findings, module, marker, contributions)
        if not findings.reasons and not findings.better_apart:
            return shared, findings.notes
    served = Findings()
    files = _with_server(workspace, served, module, marker, contributions)
    if not served.reasons:
        why = [*findings.reasons, findings.better_apart][0]
        return files, [*([f"{module.name} gets its own code server: {why}"] if why else []), *served.notes]
    if shared is not None and not findings.reasons:
        return shared, findings.notes
    prefix = "with its own code server: " if is_shared else ""
    reasons = [*findings.reasons, *(f"{prefix}{reason}" for reason in served.reasons)]
    raise ConflictError([f"{module.name}: {reason}" for reason in dict.fromkeys(reasons)])


def _as_written(
    workspace: TargetWorkspace, findings: Findings, module: Path, marker: str, contributions: Contributions
) -> Contributions:
    """Return contributions with the code server, shared or own, of the module's fragments."""
    files = {file: list(slots) for file, slots in contributions.items()}
    entries = _entries(files)
    if any(kind != "grpc_server" for kind, _ in entries):
        paths = locate_code(workspace, findings, entries)
        files[workspace_yaml.NAME] = [relocated(workspace, location, paths) for location in files[workspace_yaml.NAME]]
        storage = keep_outputs(workspace, findings, marker)
        variables = env_file.keys(body_of(files.get(env_file.NAME, ())))
        pass_variables(workspace, findings, variables)
        note_other_takers(workspace, findings, variables)
        folders = {Path(os.path.normpath(workspace.folder / host)): path for host, path in paths.items()}
        files |= fit_image(workspace, findings, module, files.get(dockerfile.NAME, ()), folders, storage)
        for common in (workspace.once(workspace_file_findings), workspace.once(run_image_findings)):
            findings.reasons += common.reasons
            findings.notes += common.notes
    return _completed(workspace, findings, files, contributions)


def _with_server(
    workspace: TargetWorkspace, findings: Findings, module: Path, marker: str, contributions: Contributions
) -> Contributions:
    """Return contributions with a code server that is made for this workspace."""
    files = with_code_server(workspace, findings, module, marker, contributions)
    common = workspace.once(workspace_file_findings)
    findings.reasons += common.reasons
    findings.notes += common.notes
    if workspace.in_containers:
        pass_variables(workspace, findings, env_file.keys(body_of(files.get(env_file.NAME, ()))))
    return _completed(workspace, findings, files, files)


def _completed(
    workspace: TargetWorkspace, findings: Findings, files: dict[str, list[Contribution]], written: Contributions
) -> Contributions:
    files[compose.NAME] = with_additions(
        workspace, findings, networked(workspace, findings, files.get(compose.NAME, ()))
    )
    refuse_repeated_variables(workspace, findings, written.get(compose.NAME, ()))
    refuse_inherited(workspace, findings, files[compose.NAME])
    files[dagster_yaml.NAME] = for_runs(workspace, findings, files)
    return files


def _entries(files: Contributions) -> list[tuple[str, Any]]:
    items = [item for contribution in files.get(workspace_yaml.NAME, ()) for item in load(contribution.sequence) or ()]
    return [pair for item in items if isinstance(item, dict) for pair in item.items()]
