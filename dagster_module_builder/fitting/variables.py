"""Passing a module's variables to the services that do not get them yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dagster_module_builder.fitting.target_workspace import Findings, TargetWorkspace, load
from dagster_module_builder.shared_files.formats.shared_file import Contribution


def pass_variables(workspace: TargetWorkspace, findings: Findings, names: Sequence[str]) -> None:
    """Note the variables that each service lacks."""
    for service in workspace.services:
        if service.takes_env_file:
            continue
        missing = [name for name in dict.fromkeys(names) if name not in service.environment]
        if missing:
            findings.variables[service.name] = missing


def note_other_takers(workspace: TargetWorkspace, findings: Findings, names: Sequence[str]) -> None:
    """Note the services of other images that get these variables, since they take the whole ``.env``."""
    images = {service.dockerfile for service in workspace.services if service.dockerfile}
    others = (each for each in workspace.stack.services.values() if each.dockerfile not in images)
    takers = [each.name for each in others if each.takes_env_file and each.name not in workspace.code_services]
    if names and takers:
        findings.notes.append(
            f"{', '.join(takers)}: 'env_file: .env' passes the module's variables on, passwords too, and "
            f"'workspace.up' restarts what has new variables. List those that are needed in 'environment:' instead."
        )


def refuse_repeated_variables(
    workspace: TargetWorkspace, findings: Findings, contributions: Iterable[Contribution]
) -> None:
    """Refuse variables that a service sets itself."""
    names: dict[tuple[bytes, ...], set[str]] = {}
    for contribution in contributions:
        path, lines = contribution.path, contribution.mapping
        if path[:1] == ("services",) and path[2:] == ("environment",) and lines:
            if lines not in names:
                names[lines] = set(load(lines) or ())
            twice = names[lines] & set(workspace.stack.services[path[1]].environment)
            findings.reasons.extend(f"{path[1]} already sets {name}: delete it there" for name in sorted(twice))
