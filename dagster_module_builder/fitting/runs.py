"""What a launcher that starts each run in a container has to be told of a module."""

from __future__ import annotations

from dagster_module_builder.compose.service import Service
from dagster_module_builder.fitting.surroundings import (
    STORAGE_VARIABLE,
    Contributions,
    Findings,
    Surroundings,
    body_of,
    load,
)
from dagster_module_builder.shared_files.formats import compose, dagster_yaml, env_file
from dagster_module_builder.shared_files.formats.shared_file import Contribution


def run_image_findings(around: Surroundings) -> Findings:
    """Return why a launcher's containers would not have the modules' requirements."""
    findings = Findings()
    if not around.in_containers:
        return findings
    built = {name for service in around.services for name in _image_names(around, service)}
    for service in around.services:
        image = service.variable("DAGSTER_CURRENT_IMAGE") or around.launcher.image
        if image is None:
            findings.reasons.append(
                f"{dagster_yaml.DOCKER} has no image for runs of code that {service.name} loads: set 'image:' in "
                f"run_launcher.config of dagster.yaml to the image of {service.name}"
            )
        elif image not in built:
            findings.reasons.append(
                f"{dagster_yaml.DOCKER} starts runs in {image}, which has not the module's requirements: "
                f"use the image of {service.name}"
            )
    return findings


def _image_names(around: Surroundings, service: Service) -> set[str]:
    name = service.image_name
    own = {f"{around.stack.project}-{service.name}", f"{around.stack.project}_{service.name}"}
    names = {name, name.removesuffix(":latest"), f"{name}:latest"} if name else own
    return {*names, *(f"{one}:latest" for one in own if not name)}


def for_runs(around: Surroundings, findings: Findings, files: Contributions) -> list[Contribution]:
    """Return what a module gives to the launcher."""
    if not around.in_containers:
        return []
    needed = env_file.keys(body_of(files.get(env_file.NAME, ())))
    for one in files.get(compose.NAME, ()):
        if one.path[:1] == ("services",) and one.path[2:] == ("environment",):
            needed += list(load(one.mapping) or ())
    if any(service.variable(STORAGE_VARIABLE) for service in around.services):
        needed.append(STORAGE_VARIABLE)
    names = [name for name in dict.fromkeys(needed) if name not in around.launcher.env_vars]
    return dagster_yaml.contributions(names, findings.run_mounts)
