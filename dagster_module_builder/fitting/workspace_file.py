"""Whether and when the services read the workspace's ``workspace.yaml``."""

from __future__ import annotations

import os
import posixpath

from dagster_module_builder.compose.service import Service, innermost
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
    ours = str(workspace.stack.folder / workspace_yaml.NAME)
    if not file.startswith("/") and service.working_dir is None:
        return
    path = posixpath.normpath(posixpath.join(service.working_dir or "/", file))
    inside = innermost(service.mounts, path)
    if inside and inside.source and inside.source.startswith("/"):
        read = inside.source_of(path)
        if read != ours and os.path.realpath(str(read)) != os.path.realpath(ours):
            findings.reasons.append(f"{service.name} reads {read}, not {ours}: mount that one at {path}")
        elif read == inside.source:
            findings.notes.append(f"{service.name} mounts workspace.yaml as a single file. Restart it to read changes.")
    elif inside is None and service.image_of and service.context:
        _built_in(findings, service, ours)


def _built_in(findings: Findings, service: Service, ours: str) -> None:
    copied = service.image_of.copied(service.target) if service.image_of else []
    sources = [os.path.normpath(f"{service.context}/{source}") for source, _ in copied]
    if any(ours == source or ours.startswith(source + "/") or _has_wildcard(source) for source in sources):
        findings.notes.append(f"{service.name} has workspace.yaml in its image. Rebuild the image to read changes.")
    else:
        findings.reasons.append(
            f"{service.name} has no access to {ours}: mount its folder there, and pass it with '-w'"
        )


def _has_wildcard(source: str) -> bool:
    return "*" in source or "?" in source or "$" in source
