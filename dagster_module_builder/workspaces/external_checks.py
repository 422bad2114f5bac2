"""Checks of a plan that ask other programs, before it is carried out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dagster_module_builder.base.errors import ConflictError, RefusedError, ToolError
from dagster_module_builder.base.layout import SERVERS
from dagster_module_builder.compose import config
from dagster_module_builder.compose.compose_project import Project, project_of, redefined, shared_ports
from dagster_module_builder.compose.image import read_image
from dagster_module_builder.compose.local_sources import Build, takes_from_folders, unreachable
from dagster_module_builder.fitting.image_contents import image_contents
from dagster_module_builder.modules.dagster_check import Conflict, resolve_together, stating_files
from dagster_module_builder.programs import compose_command
from dagster_module_builder.shared_files.formats import compose, dockerfile, env_file
from dagster_module_builder.transactions.plan import Plan
from dagster_module_builder.transactions.registry import ModuleEntry
from dagster_module_builder.workspaces.carrying_out import Check
from dagster_module_builder.workspaces.planning import planned_registry
from dagster_module_builder.workspaces.workspace import Workspace


def requirements(workspace: Workspace, plan: Plan) -> Iterator[str]:
    """Refuse a plan after which the shared image's requirements do not resolve together.

    An image that this program did not make keeps the packages that it has: modules have to fit those.

    Raises:
        ConflictError: With the modules that conflict.
    """
    has_images = workspace.layout.has_compose
    sharing = [entry for entry in planned_registry(plan).entries if _shares(entry, has_images=has_images)]
    image = image_contents(workspace.as_target, ask=True) if sharing and has_images else None
    result = resolve_together(workspace.root, [workspace.root / entry.path for entry in sharing], image)
    if isinstance(result, Conflict) and result.in_image and not _is_about(workspace, plan, result):
        yield f"Warning: {result}"
    elif isinstance(result, Conflict):
        paths = [workspace.root / entry.path for entry in sharing if Path(entry.path).name in result.modules]
        fix = _OWN if result.in_image else _CHANGE
        raise ConflictError([str(result)], where=_stated_at(paths[-1]), fix=fix, owner=paths[-1].name)
    elif result is not None:
        yield f"Warning: {result}"


def _shares(entry: ModuleEntry, *, has_images: bool) -> bool:
    """Return whether a module shares an environment with others: the image's, or that of 'workspace.dev'."""
    return dockerfile.NAME in entry.blocks if has_images else entry.code_server != "own"


def _is_about(workspace: Workspace, plan: Plan, conflict: Conflict) -> bool:
    """Return whether a plan adds or changes one of the modules that conflict."""
    return any(Path(entry.path).name in conflict.modules for entry in _put(workspace, plan))


#: The lines that a project's requirements begin at.
_STATED = re.compile(rb"^\s*(?:dependencies|install_requires)\s*=", re.MULTILINE)
_CHANGE = "Change the requirement of one of them, then run 'workspace.validate'"
_OWN = "Do one of the two, then run 'workspace.validate'"


def _stated_at(module: Path) -> str:
    for path in stating_files(module):
        text = path.read_bytes()
        if match := _STATED.search(text):
            line = text.count(b"\n", 0, match.end()) + 1
            return f"{path}:{line}"
    return str(module)


def compose_accepts(workspace: Workspace, plan: Plan) -> Iterator[str]:
    """Refuse a plan that Docker Compose does not accept, or in which another file redefines a module's services.

    Compose reads all files that 'workspace.up' starts. Without Compose, nothing is checked.

    Raises:
        ConflictError: With Compose's own words, or with what another file redefines.
    """
    if not workspace.layout.has_compose:
        return
    after = {change.path: change.after for change in plan.changes}
    text = after.get(workspace.path(compose.NAME))
    env = after.get(workspace.path(env_file.NAME)) or b""
    fix = "Fix that, then run 'workspace.validate'"
    try:
        if text is None or not compose_command.is_installed():
            return
        model = config.check_config(workspace.root, text, env)
    except RefusedError as error:
        raise ConflictError([str(error)], where=str(workspace.path(compose.NAME)), fix=fix) from None
    except config.NotAcceptedError as error:
        reason = f"Docker Compose does not accept the result: {error}"
        raise ConflictError([reason], where=str(workspace.path(compose.NAME)), fix=fix) from None
    except ToolError as error:
        yield f"Warning: Docker Compose could not check the result: {error}"
        return
    _refuse_overrides(project_of(workspace.root, env or None), text, model, _owners(workspace, plan))


def _owners(workspace: Workspace, plan: Plan) -> dict[str, str]:
    """Return the module of each service, for the modules that ``_put`` returns."""
    return {
        str(name): entry.name for entry in _put(workspace, plan) for name in (entry.provides or {}).get("services", ())
    }


def _put(workspace: Workspace, plan: Plan) -> list[ModuleEntry]:
    """Return the modules that a plan adds or changes; all modules if it does neither."""
    entries = planned_registry(plan).entries
    put = [entry for entry in entries if not (old := workspace.registry.find(entry.name)) or old.blocks != entry.blocks]
    return put or list(entries)


def _refuse_overrides(project: Project, text: bytes, model: Mapping[str, Any], owners: Mapping[str, str]) -> None:
    if not project.others and b"include" not in text:
        # This one file was checked without Compose.
        return
    where = str(next(iter(project.others), project.main))
    clashes = [(owner, str(path), reason) for owner, path, reason in redefined(project, owners)]
    for port, services in shared_ports(model):
        if concerned := [name for name in services if name in owners]:
            clashes.append((owners[concerned[0]], where, f"host port {port} is published by {' and '.join(services)}"))
    if clashes:
        fix = "Give it another name or port there, then run 'workspace.validate'"
        raise ConflictError([f"{path}: {why}" for _, path, why in clashes], where=clashes[0][1], fix=fix)


def sources_reach_the_image(workspace: Workspace, plan: Plan) -> Iterator[str]:
    """Refuse modules whose requirements come from folders that the image does not get: it could not be built any more.

    Raises:
        ConflictError: With the way out.
    """
    after = {change.path: change.after for change in plan.changes}
    for entry in _put(workspace, plan) if workspace.layout.has_compose else ():
        module = workspace.root / entry.path
        # Most modules take nothing from folders; what the image copies grows with the modules.
        if not takes_from_folders(workspace.stack.read(module / "pyproject.toml") or b""):
            continue
        build = _build_of(workspace, entry, after.get(workspace.path(dockerfile.NAME)) or b"")
        for reason, fix in unreachable(build, module) if build else ():
            raise ConflictError([f"{entry.name}: {reason}. {fix}"], where=_stated_at(module), owner=entry.name)
    yield from ()


def _build_of(workspace: Workspace, entry: ModuleEntry, shared: bytes) -> Build | None:
    """Return how the image of a module is built; None if that is not known."""
    root, read = workspace.root.absolute(), workspace.stack.read
    own = root / entry.path / dockerfile.NAME
    if served := next((slot for slot in entry.blocks if slot.startswith(f"{SERVERS}/")), None):
        module, path = root / entry.path, workspace.path(served)
        return Build(root, module, path, read_image(read(path) or b""), None, read)
    if dockerfile.NAME not in entry.blocks:
        text = read(own)
        return Build(root, root, own, read_image(text), None, read) if text else None
    for service in workspace.as_target.services:
        if service.context and service.dockerfile:
            return Build(root, service.context, service.dockerfile, read_image(shared), service.target, read)
    return None


ALL: tuple[Check, ...] = (requirements, compose_accepts, sources_reach_the_image)
