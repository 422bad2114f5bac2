"""What an image that this program did not make keeps: by its Dockerfile, and by the built image where there is one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.compose.service import Service
from dagster_module_builder.fitting.kept_packages import INSTALLED, LISTING, PYTHON, finding_program
from dagster_module_builder.fitting.owner_versions import owner_versions, python_of
from dagster_module_builder.fitting.requirement_files import Stated, stated
from dagster_module_builder.fitting.shared_image import has_constraints, services_of, slots_of
from dagster_module_builder.fitting.target_workspace import TargetWorkspace
from dagster_module_builder.modules.image_versions import ImageVersions, KeptPackage
from dagster_module_builder.programs import engine, outside_programs

_VERSION = re.compile(r"^python (3\.\d+)$", re.MULTILINE)


def image_contents(workspace: TargetWorkspace, *, ask: bool) -> ImageVersions | None:
    """Return what the image of a workspace's services keeps; None for an image with constraints like the template's.

    Args:
        workspace: The workspace.
        ask: Whether to look into the image, if it was built on this machine.
    """
    services = services_of(workspace)
    if not slots_of(services) or workspace.once(has_constraints):
        return None
    listed = [each for service in services for each in owner_versions(service, workspace.stack.read)]
    kept = {each.constraint: KeptPackage(each.name, each.constraint, each.version, each.where) for each in listed}
    python = python_of(services[0])
    built = _built(workspace, services[0], listed) if ask else None
    return built or ImageVersions(tuple(kept.values()), python)


def _built(workspace: TargetWorkspace, service: Service, listed: Sequence[Stated]) -> ImageVersions | None:
    """Return what the built image has; None without one, or if it is older than what the Dockerfile says."""
    name = service.image_name or f"{workspace.stack.project}-{service.name}"
    text = _ask(name, _listing(service))
    packages = [each for line in text.splitlines() for each in stated(line, f"the image {name}") if each.version]
    versions = {each.name: each.version for each in packages}
    pins = {each.name: each for each in listed if each.version}
    if not packages or any(versions.get(pin, each.version) != each.version for pin, each in pins.items()):
        return None
    kept = (KeptPackage(each.name, each.constraint, each.version, pins.get(each.name, each).where) for each in packages)
    python = _VERSION.search(text)
    return ImageVersions(tuple(kept), python[1] if python else None)


def _listing(service: Service) -> str:
    """Return the script that prints the packages that an image had before the modules, if a block wrote them down.

    With modules of an earlier version, which wrote nothing down, only Dagster's own packages are certainly the image's.
    """
    return f"""\
python="$(cat {PYTHON} || sed -n '1s|^#! *\\(/.*python[0-9.]*\\)$|\\1|p' "$({finding_program([service])})")"
cat {INSTALLED} || "${{python:-python3}}" -c '{LISTING}' \\
    | if test -d /opt/dagster/modules; then grep -E '^dag(ster|it)'; else cat; fi
exec "${{python:-python3}}" -c 'import sys; print("python %d.%d" % sys.version_info[:2])'
"""


def _ask(image: str, script: str) -> str:
    if not outside_programs.is_installed("docker"):
        return ""
    try:
        return engine.output_of(image, "sh", "-c", script) if engine.has_image(image) else ""
    except ToolError:
        # Without an answer, the build is what finds out: it changes no package either.
        return ""
