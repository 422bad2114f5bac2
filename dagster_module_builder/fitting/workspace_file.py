"""Whether the services read the workspace's own ``workspace.yaml``, and when they do."""

from __future__ import annotations

import os
import posixpath

from dagster_module_builder.compose.service import Service, innermost
from dagster_module_builder.fitting.surroundings import Findings, Surroundings
from dagster_module_builder.shared_files.formats import workspace_yaml

_CODE_OPTIONS = ("-m", "--module-name", "-f", "--python-file", "--package-name", "-a", "--attribute")


def workspace_file_findings(around: Surroundings) -> Findings:
    """Return what is known of how the services read ``workspace.yaml``."""
    findings = Findings()
    for service in around.services:
        if not service.starts_dagster:
            continue
        given = service.option("-w", "--workspace")
        code = next((option for option in _CODE_OPTIONS if service.option(option) is not None), None)
        if given is None and code:
            findings.reasons.append(
                f"{service.name} starts with {code}, so it does not read workspace.yaml: "
                f"start it with '-w workspace.yaml', and enter its own code there"
            )
        elif "$" not in (given or ""):
            _workspace_file(around, findings, service, given or workspace_yaml.NAME)
    return findings


def _workspace_file(around: Surroundings, findings: Findings, service: Service, given: str) -> None:
    ours = str(around.stack.folder / workspace_yaml.NAME)
    if not given.startswith("/") and service.working_dir is None:
        return
    path = posixpath.normpath(posixpath.join(service.working_dir or "/", given))
    inside = innermost(service.mounts, path)
    if inside and inside.source and inside.source.startswith("/"):
        read = inside.source_of(path)
        if read != ours and os.path.realpath(str(read)) != os.path.realpath(ours):
            findings.reasons.append(f"{service.name} reads {read}, not {ours}: mount that one at {path}")
        elif read == inside.source:
            findings.notes.append(f"{service.name} mounts workspace.yaml singly: restart it to have it read.")
    elif inside is None and service.image_of and service.context:
        _built_in(findings, service, ours)


def _built_in(findings: Findings, service: Service, ours: str) -> None:
    copied = service.image_of.copied(service.target) if service.image_of else []
    sources = [os.path.normpath(f"{service.context}/{source}") for source, _ in copied]
    if any(ours == source or ours.startswith(source + "/") or _has_wildcard(source) for source in sources):
        findings.notes.append(f"{service.name} has workspace.yaml in its image: build it anew to have it read.")
    else:
        findings.reasons.append(
            f"nothing brings {ours} into {service.name}: mount its folder there, and name it with '-w'"
        )


def _has_wildcard(source: str) -> bool:
    return "*" in source or "?" in source or "$" in source
