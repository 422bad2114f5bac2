"""What a launcher that starts each run in a container needs for a module."""

from __future__ import annotations

from dagster_module_builder.compose.image_names import full_name
from dagster_module_builder.compose.service import Service
from dagster_module_builder.fitting.target_workspace import (
    STORAGE_VARIABLE,
    Contributions,
    Findings,
    TargetWorkspace,
    body_of,
    load,
)
from dagster_module_builder.shared_files.formats import compose, dagster_yaml, env_file
from dagster_module_builder.shared_files.formats.shared_file import Contribution


def run_image_findings(workspace: TargetWorkspace) -> Findings:
    """Return the reasons why a launcher's containers would lack the modules' requirements."""
    findings = Findings()
    if not workspace.in_containers:
        return findings
    built = {name for service in workspace.services for name in _image_names(workspace, service)}
    for service in workspace.services:
        image = service.variable("DAGSTER_CURRENT_IMAGE") or workspace.launcher.image
        if image is None:
            findings.reasons.append(
                f"{dagster_yaml.DOCKER} has no image for runs of the code in {service.name}: set 'image:' in "
                f"run_launcher.config of dagster.yaml to the image of {service.name}"
            )
        elif full_name(image) not in built:
            findings.reasons.append(
                f"{dagster_yaml.DOCKER} starts runs in {image}, which lacks the module's requirements: "
                f"use the image of {service.name}"
            )
    return findings


def _image_names(workspace: TargetWorkspace, service: Service) -> set[str]:
    """Return what an image is called in full; without a name, Compose 2 and Compose 1 make one up."""
    project = workspace.stack.project
    names = [service.image_name] if service.image_name else [f"{project}-{service.name}", f"{project}_{service.name}"]
    return set(map(full_name, names))


def for_runs(workspace: TargetWorkspace, findings: Findings, files: Contributions) -> list[Contribution]:
    """Return a module's contributions to the launcher."""
    if not workspace.in_containers:
        return []
    needed = env_file.keys(body_of(files.get(env_file.NAME, ())))
    for contribution in files.get(compose.NAME, ()):
        if contribution.path[:1] == ("services",) and contribution.path[2:] == ("environment",):
            needed += list(load(contribution.mapping) or ())
    if any(service.variable(STORAGE_VARIABLE) for service in workspace.services):
        needed.append(STORAGE_VARIABLE)
    names = [name for name in dict.fromkeys(needed) if name not in workspace.launcher.env_vars]
    return dagster_yaml.contributions(names, findings.run_mounts)
