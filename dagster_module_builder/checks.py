"""What looks at a plan before it is carried out, with the help of other programs."""

from __future__ import annotations

from collections.abc import Iterator

from dagster_module_builder import docker, settings
from dagster_module_builder.dagster_check import Conflict, resolve_together
from dagster_module_builder.errors import ConflictError, ToolError
from dagster_module_builder.formats import compose, dockerfile, env_file
from dagster_module_builder.integrate import Check, planned_registry
from dagster_module_builder.plan import Plan
from dagster_module_builder.workspace import Workspace


def requirements(workspace: Workspace, plan: Plan) -> Iterator[str]:
    """Refuse a plan after which the shared image's requirements do not resolve together.

    Raises:
        ConflictError: With the modules that do not fit together.
    """
    sharing = [entry for entry in planned_registry(plan).entries if dockerfile.NAME in entry.blocks]
    found = resolve_together(workspace.root, [workspace.root / entry.path for entry in sharing])
    if isinstance(found, Conflict):
        raise ConflictError([str(found)])
    if found is not None:
        yield f"Warning: {found}"


def compose_accepts(workspace: Workspace, plan: Plan) -> Iterator[str]:
    """Refuse a plan whose compose file Docker Compose does not accept; silent where there is no Compose.

    Raises:
        ConflictError: With Compose's own words.
    """
    after = {change.path.name: change.after for change in plan.changes}
    text = after.get(compose.NAME)
    if text is None or not docker.is_installed():
        return
    try:
        docker.check_config(workspace.root / settings.SERVICES, text, after.get(env_file.NAME) or b"")
    except ToolError as error:
        raise ConflictError([f"Docker Compose does not accept the result: {error}"]) from None
    yield from ()


ALL: tuple[Check, ...] = (requirements, compose_accepts)
