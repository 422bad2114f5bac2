"""Whether and when the services read the workspace's ``workspace.yaml``."""

from __future__ import annotations

import os

from dagster_module_builder.adoption.container import Container
from dagster_module_builder.adoption.model import Place
from dagster_module_builder.compose.service import Service
from dagster_module_builder.fitting.target_workspace import Findings, TargetWorkspace
from dagster_module_builder.shared_files.formats import workspace_yaml

_CODE_OPTIONS = ("-m", "--module-name", "-f", "--python-file", "--package-name", "-a", "--attribute")


def workspace_file_findings(workspace: TargetWorkspace) -> Findings:
    """Return reasons and notes about how the services read ``workspace.yaml``."""
    findings = Findings()
    for service in workspace.services:
        if not service.starts_dagster:
            continue
        file = service.option("-w", "--workspace")
        code = next((option for option in _CODE_OPTIONS if service.option(option) is not None), None)
        if file is None and code:
            findings.reasons.append(
                f"{service.name} starts with {code}, so it does not read workspace.yaml: "
                f"start it with '-w workspace.yaml', and add its code to that file"
            )
        elif "$" not in (file or ""):
            _workspace_file(workspace, findings, service, file or workspace_yaml.NAME)
    return findings


def _workspace_file(workspace: TargetWorkspace, findings: Findings, service: Service, file: str) -> None:
    ours = workspace.paths[workspace_yaml.NAME]
    configs = workspace.stack.data.get("configs")
    container = Container(
        service, workspace.root, Place(ours), configs if isinstance(configs, dict) else {}, workspace.stack.read
    )
    found = container.file(container.path(file))
    if found.container_path is None:
        return
    read = workspace.root / found.path if found.path else None
    if found.way in {"missing", "inline"} or read is None:
        findings.reasons.append(
            f"{service.name} has no access to {ours}: mount its folder there, and pass it with '-w'"
        )
    elif os.path.realpath(read) != os.path.realpath(ours):
        findings.reasons.append(f"{service.name} reads {read}, not {ours}: mount that one at {found.container_path}")
    elif found.way == "copied":
        findings.notes.append(f"{service.name} has workspace.yaml in its image. Rebuild the image to read changes.")
    elif not found.mounted_folder:
        findings.notes.append(f"{service.name} mounts workspace.yaml as a single file. Restart it to read changes.")
