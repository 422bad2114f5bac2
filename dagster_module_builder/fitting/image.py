"""Whether the services' image can get a module's requirements, and in which stage."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from dagster_module_builder.base.settings import PROJECTS
from dagster_module_builder.compose.service import Service
from dagster_module_builder.fitting.shared_image import has_constraints, slots_of
from dagster_module_builder.fitting.snippet import fitted_snippet
from dagster_module_builder.fitting.target_workspace import Findings, TargetWorkspace
from dagster_module_builder.shared_files.formats import dockerfile
from dagster_module_builder.shared_files.formats.outline import KeyPath
from dagster_module_builder.shared_files.formats.shared_file import Contribution


def fit_image(
    workspace: TargetWorkspace,
    findings: Findings,
    module: Path,
    snippet: Sequence[Contribution],
    paths: Mapping[Path, str],
    storage: Sequence[str],
) -> dict[str, list[Contribution]]:
    """Return a module's contributions to the Dockerfiles, by the names that the registry has for these.

    Args:
        workspace: The workspace.
        findings: Reasons and notes are added here.
        module: The module's folder.
        snippet: Its snippet.
        paths: The folders of its code in the containers, by the folders in its fragment.
        storage: The folders in the containers that were added for outputs.
    """
    if not snippet:
        return {dockerfile.NAME: []}
    built = [service for service in workspace.services if service.data.get("build") or service.dockerfile]
    reasons = [reason for service in built if (reason := _reason_against_image(workspace, service))]
    findings.reasons.extend(dict.fromkeys(reasons))
    for service in workspace.services:
        if service not in built:
            findings.better_apart = f"{service.name} runs {service.image_name}, which is not built here"
            findings.notes.append(f"{findings.better_apart}. Add {module.name}'s requirements.")
    if reasons or not built:
        exists = dockerfile.NAME in workspace.paths and workspace.stack.read(workspace.paths[dockerfile.NAME])
        return {dockerfile.NAME: list(snippet) if reasons or exists else []}
    replaced = {_template_path(module, host): path for host, path in paths.items()}
    fitted = {}
    for file, path in workspace.paths.items():
        if services := [service for service in built if service.dockerfile == path]:
            fitted[file] = _fitted_to(workspace, findings, services, path, (module, snippet[0], replaced, storage))
    return fitted


def _fitted_to(
    workspace: TargetWorkspace,
    findings: Findings,
    services: Sequence[Service],
    path: Path,
    part: tuple[Path, Contribution, Mapping[str, str], Sequence[str]],
) -> list[Contribution]:
    """Return a module's contributions to one Dockerfile, from which these services are built."""
    module, snippet, replaced, storage = part
    slots = slots_of(services)
    if not slots:
        stages = " and ".join(sorted({str(service.target) for service in services}))
        findings.reasons.append(f"{path} lacks the stages {stages} that the services that run code are built from")
        return [snippet]
    kept = () if all(service.runs_as_root for service in services) else storage
    body, keeps = snippet.mapping or (), not workspace.once(has_constraints)

    def fitted(slot: KeyPath) -> tuple[bytes, ...]:
        return fitted_snippet(
            services, slot, module, body, replaced, kept, workspace.stack.read, findings.reasons, keeps=keeps
        )

    return [Contribution(slot, mapping=fitted(slot)) for slot in slots]


def _template_path(module: Path, folder: Path) -> str:
    """Return a snippet's path of a folder of the module: ``…/sales/src -> "/workspace/projects/sales/src"``."""
    return f"/workspace/{PROJECTS}/{module.name}/{os.path.relpath(folder, module)}"


def _reason_against_image(workspace: TargetWorkspace, service: Service) -> str | None:
    start = re.match(r"(uv|poetry|pdm|pipenv|hatch|conda) run\b", service.command)
    if start:
        return (
            f"{service.name} starts with '{start[0]}', in an environment that the modules' lines do not install into: "
            f"put its bin/ first in PATH, and start Dagster directly"
        )
    shared = workspace.paths.get(dockerfile.NAME)
    if service.dockerfile is None:
        cure = f"build it from {shared}, which gets the requirements" if shared else "build it from a Dockerfile"
        return f"{service.name} is not built from a Dockerfile of this machine: {cure}"
    if service.dockerfile not in workspace.paths.values():
        return (
            f"{service.name} is built from {service.dockerfile}, but {shared} gets the modules' requirements: "
            f"use that one for every service that runs code"
        )
    return None if service.image_of else f"{service.dockerfile} does not exist, and {service.name} is built from it"
