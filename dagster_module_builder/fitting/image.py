"""Whether the services' image can get a module's requirements, and in which stage."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from dagster_module_builder.compose.service import Service
from dagster_module_builder.fitting.snippet import fitted_snippet
from dagster_module_builder.fitting.target_workspace import Findings, TargetWorkspace
from dagster_module_builder.shared_files.formats import dockerfile
from dagster_module_builder.shared_files.formats.shared_file import Contribution


def fit_image(
    workspace: TargetWorkspace,
    findings: Findings,
    module: Path,
    snippet: Sequence[Contribution],
    paths: Mapping[str, str],
    storage: Sequence[str],
) -> list[Contribution]:
    """Return a module's contributions to the Dockerfile.

    Args:
        workspace: The workspace.
        findings: Reasons and notes are added here.
        module: The module's folder.
        snippet: Its snippet.
        paths: The folders of its code in the containers, by the folders in its fragment.
        storage: The folders in the containers that were added for outputs.
    """
    if not snippet:
        return []
    shared = workspace.stack.folder / dockerfile.NAME
    built = [service for service in workspace.services if service.data.get("build") or service.dockerfile]
    reasons = [reason for service in built if (reason := _reason_against_image(service, shared))]
    findings.reasons.extend(dict.fromkeys(reasons))
    findings.notes.extend(
        f"{service.name} runs {service.image_name}, which is not built here. Add {module.name}'s requirements."
        for service in workspace.services
        if service not in built
    )
    if reasons or not built:
        return list(snippet) if reasons or workspace.stack.read(shared) is not None else []
    slot = built[0].image_of.shared_slot([service.target for service in built]) if built[0].image_of else ()
    if slot is None:
        stages = " and ".join(sorted({str(service.target) for service in built}))
        findings.reasons.append(
            f"the services that run code are built from the stages {stages} of {shared}, which are not based on a "
            f"common named stage: add one for the modules' requirements"
        )
        return list(snippet)
    replaced = {_template_path(workspace, host): path for host, path in paths.items()}
    kept = () if all(service.runs_as_root for service in built) else storage
    body = fitted_snippet(
        built, slot, module, snippet[0].mapping or (), replaced, kept, workspace.stack.read, findings.reasons
    )
    return [Contribution(slot, mapping=body)]


def _template_path(workspace: TargetWorkspace, folder: str) -> str:
    """Return a snippet's path of a location's folder: ``"../../projects/a/src" -> "/workspace/projects/a/src"``."""
    return "/workspace/" + os.path.relpath(os.path.normpath(workspace.stack.folder / folder), workspace.root)


def _reason_against_image(service: Service, shared: Path) -> str | None:
    start = re.match(r"(uv|poetry|pdm|pipenv|hatch|conda) run\b", service.command)
    if start:
        return (
            f"{service.name} starts with '{start[0]}', in an environment that the modules' lines do not install into: "
            f"put its bin/ first in PATH, and start Dagster directly"
        )
    if service.dockerfile is None:
        cure = f"build it from {shared}, which gets the requirements"
        return f"{service.name} is not built from a Dockerfile of this machine: {cure}"
    if service.dockerfile != shared:
        return (
            f"{service.name} is built from {service.dockerfile}, but {shared} gets the modules' requirements: "
            f"use that one for every service that runs code"
        )
    return None if service.image_of else f"{shared} does not exist, and {service.name} is built from it"
