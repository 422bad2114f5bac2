"""Whether the services' image takes a module's requirements, and in which stage."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from dagster_module_builder.compose.service import Service
from dagster_module_builder.fitting.snippet import fitted_snippet
from dagster_module_builder.fitting.surroundings import Findings, Surroundings
from dagster_module_builder.shared_files.formats import dockerfile
from dagster_module_builder.shared_files.formats.shared_file import Contribution


def fit_image(
    around: Surroundings,
    findings: Findings,
    module: Path,
    given: Sequence[Contribution],
    paths: Mapping[str, str],
    storage: Sequence[str],
) -> list[Contribution]:
    """Return what a module gives to the Dockerfile.

    Args:
        around: The workspace.
        findings: Takes reasons and notes.
        module: The module's folder.
        given: Its snippet.
        paths: The paths in the containers that its code is loaded from, by what its fragment says.
        storage: The folders in the containers that were added for outputs.
    """
    if not given:
        return []
    shared = around.stack.folder / dockerfile.NAME
    built = [service for service in around.services if service.data.get("build") or service.dockerfile]
    reasons = [reason for service in built if (reason := _reason_against_image(service, shared))]
    findings.reasons.extend(dict.fromkeys(reasons))
    findings.notes.extend(
        f"{service.name} runs {service.image_name}, which is not built here: it needs what {module.name} requires."
        for service in around.services
        if service not in built
    )
    if reasons or not built:
        return list(given) if reasons or around.stack.read(shared) is not None else []
    slot = built[0].image_of.shared_slot([service.target for service in built]) if built[0].image_of else ()
    if slot is None:
        stages = " and ".join(sorted({str(service.target) for service in built}))
        findings.reasons.append(
            f"the services that run code are built from the stages {stages} of {shared}, which have no named stage in "
            f"common: let both begin with one, where the modules' requirements can go"
        )
        return list(given)
    replaced = {_template_path(around, host): path for host, path in paths.items()}
    kept = () if all(service.runs_as_root for service in built) else storage
    body = fitted_snippet(
        built, slot, module, given[0].mapping or (), replaced, kept, around.stack.read, findings.reasons
    )
    return [Contribution(slot, mapping=body)]


def _template_path(around: Surroundings, given: str) -> str:
    """Return the path that the snippet has for the folder that the location entry names."""
    return "/workspace/" + os.path.relpath(os.path.normpath(around.stack.folder / given), around.root)


def _reason_against_image(service: Service, shared: Path) -> str | None:
    start = re.match(r"(uv|poetry|pdm|pipenv|hatch|conda) run\b", service.command)
    if start:
        return (
            f"{service.name} starts by '{start[0]}', from an environment that the Dockerfile's lines do not install "
            f"into: put its bin/ first in PATH, and start Dagster directly"
        )
    if service.dockerfile is None:
        cure = f"build it from {shared}, where the requirements go"
        return f"{service.name} is built from no Dockerfile of this machine: {cure}"
    if service.dockerfile != shared:
        return (
            f"{service.name} is built from {service.dockerfile}, and the modules' requirements go to {shared}: "
            f"make that one the Dockerfile of every service that runs code"
        )
    return None if service.image_of else f"{shared} does not exist, and {service.name} is built from it"
