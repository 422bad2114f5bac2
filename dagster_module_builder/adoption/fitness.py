"""Where a module's code can run: in a service itself, or only in a separate code server."""

from __future__ import annotations

import os.path
from dataclasses import replace
from typing import get_args

from dagster_module_builder.adoption.container import Container
from dagster_module_builder.adoption.model import DagsterService, Runner


def fit_of(found: DagsterService, container: Container) -> DagsterService:
    """Return a service with what it can do for modules, and why."""
    reason = _obstacle(found, container) or _obstacle_of_image(found, container)
    if reason:
        return replace(found, fit="own", reason=reason)
    return replace(found, fit="shared", reason=f"{found.image.dockerfile} builds its image, which can install modules")


def _obstacle(found: DagsterService, container: Container) -> str:
    if not (found.loads_code or "worker" in found.roles):
        return "it serves other code only" if "code server" in found.roles else "it does not load code locations"
    if found.targets:
        return f"it loads {found.targets[0].value}, which {found.targets[0].place} names, and no workspace file"
    if found.start in get_args(Runner):
        return f"it starts with '{found.start} run', which has an environment that only the project's lock changes"
    mode = container.service.data.get("network_mode")
    return f"it has network_mode {mode}, so it can join no network of a module" if mode else ""


def _obstacle_of_image(found: DagsterService, container: Container) -> str:
    image, service = found.image, container.service
    if image.inline:
        return "its Dockerfile is text in the Compose file, which takes no lines of modules"
    if not image.is_prebuilt:
        return ""
    if service.dockerfile:
        path = os.path.relpath(service.dockerfile, container.repository)
        return f"its Dockerfile {path} does not exist, or lies outside the repository"
    if service.data.get("build"):
        return "its image is built from a folder that is not on this machine"
    return f"its image {image.name} is not built here" if image.name else "its image is not built here"
