"""The image that services with code get from the shared Dockerfile: where blocks go in it, and what binds versions."""

from __future__ import annotations

from collections.abc import Sequence

from packaging.utils import canonicalize_name

from dagster_module_builder.compose.service import Service
from dagster_module_builder.fitting.owner_versions import owner_versions
from dagster_module_builder.fitting.target_workspace import TargetWorkspace
from dagster_module_builder.shared_files.formats import dockerfile
from dagster_module_builder.shared_files.formats.outline import KeyPath

#: The file of constraints in an image that the template makes.
CONSTRAINTS = "/opt/dagster/constraints.txt"


def services_of(workspace: TargetWorkspace) -> list[Service]:
    """Return the services with code that are built from the shared Dockerfile."""
    shared = workspace.paths.get(dockerfile.NAME)
    return [service for service in workspace.services if service.dockerfile == shared and service.image_of]


def slots_of(services: Sequence[Service]) -> list[KeyPath]:
    """Return the slots of the shared Dockerfile whose blocks reach all of these services, which are built from it."""
    image = services[0].image_of if services else None
    return image.slots([service.target for service in services]) if image else []


def has_constraints(workspace: TargetWorkspace) -> bool:
    """Return whether an image has constraints as the template's has: the version of Dagster that it gets is in them."""
    services = services_of(workspace)
    slots = slots_of(services)
    image = services[0].image_of if services else None
    if image is None or not slots or not image.mentions(CONSTRAINTS, slots[0]):
        return False
    text = workspace.stack.read(workspace.stack.folder / CONSTRAINTS.rpartition("/")[2])
    if text is None:
        return True
    locked = dict(_pinned(line) for line in text.decode("utf-8", "replace").splitlines() if "==" in line)
    asked = {each.name: each.version for service in services for each in owner_versions(service, workspace.stack.read)}
    return "dagster" in locked and all(version in {None, locked.get(name)} for name, version in asked.items())


def _pinned(line: str) -> tuple[str, str]:
    name, _, version = line.partition("==")
    return canonicalize_name(name.strip()), version.split()[0] if version.split() else ""
