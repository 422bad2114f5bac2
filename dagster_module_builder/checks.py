"""What looks at a plan before it is carried out, with the help of other programs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dagster_module_builder import docker, settings
from dagster_module_builder.dagster_check import Conflict, resolve_together, stating_files
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
        paths = [workspace.root / entry.path for entry in sharing if Path(entry.path).name in found.modules]
        raise ConflictError([str(found)], where=_stated_at(paths[-1]), mend=_CHANGE, owner=paths[-1].name)
    if found is not None:
        yield f"Warning: {found}"


#: The lines that a project's requirements begin at.
_STATED = re.compile(rb"^\s*(?:dependencies|install_requires)\s*=", re.MULTILINE)
_CHANGE = "Change the requirement of one of them, and look again with 'workspace.validate'"


def _stated_at(module: Path) -> str:
    for path in stating_files(module):
        text = path.read_bytes()
        if found := _STATED.search(text):
            line = text.count(b"\n", 0, found.end()) + 1
            return f"{path}:{line}"
    return str(module)


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
        reason = f"Docker Compose does not accept the result: {error}"
        where, mend = str(workspace.path(compose.NAME)), "Mend what it names, and look again with 'workspace.validate'"
        raise ConflictError([reason], where=where, mend=mend) from None
    yield from ()


ALL: tuple[Check, ...] = (requirements, compose_accepts)
