"""A module, fitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dagster_module_builder.base.errors import ConflictError
from dagster_module_builder.fitting.code import locate_code, relocated
from dagster_module_builder.fitting.image import fit_image
from dagster_module_builder.fitting.runs import for_runs, run_image_findings
from dagster_module_builder.fitting.services import networked, with_additions
from dagster_module_builder.fitting.storage import keep_outputs
from dagster_module_builder.fitting.surroundings import Contributions, Findings, Surroundings, body_of, load
from dagster_module_builder.fitting.variables import pass_variables, refuse_repeated_variables
from dagster_module_builder.fitting.workspace_file import workspace_file_findings
from dagster_module_builder.shared_files.formats import compose, dagster_yaml, dockerfile, env_file, workspace_yaml


def fitted(around: Surroundings, module: Path, marker: str, given: Contributions) -> tuple[Contributions, list[str]]:
    """Return what a module gives to this workspace's files, and what to know of it.

    Args:
        around: The workspace.
        module: The module's folder.
        marker: Its snake name.
        given: What its fragments give, as they are written.

    Raises:
        ConflictError: It could be put in, but would not work; names every reason.
    """
    findings = Findings()
    files = {file: list(contributions) for file, contributions in given.items()}
    entries = _entries(files)
    if any(kind != "grpc_server" for kind, _ in entries):
        paths = locate_code(around, findings, entries)
        files[workspace_yaml.NAME] = [relocated(around, one, paths) for one in files[workspace_yaml.NAME]]
        storage = keep_outputs(around, findings, marker)
        pass_variables(around, findings, env_file.keys(body_of(files.get(env_file.NAME, ()))))
        files[dockerfile.NAME] = fit_image(around, findings, module, files.get(dockerfile.NAME, ()), paths, storage)
        for common in (around.once(workspace_file_findings), around.once(run_image_findings)):
            findings.reasons += common.reasons
            findings.notes += common.notes
    files[compose.NAME] = with_additions(around, findings, networked(around, findings, files.get(compose.NAME, ())))
    refuse_repeated_variables(around, findings, given.get(compose.NAME, ()))
    files[dagster_yaml.NAME] = for_runs(around, findings, files)
    if findings.reasons:
        raise ConflictError([f"{module.name}: {reason}" for reason in findings.reasons])
    return files, findings.notes


def _entries(files: Contributions) -> list[tuple[str, Any]]:
    items = [item for one in files.get(workspace_yaml.NAME, ()) for item in load(one.sequence) or ()]
    return [pair for item in items if isinstance(item, dict) for pair in item.items()]
