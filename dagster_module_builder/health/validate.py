"""Checking that registry, blocks, fragments and shared files agree, and that the workspace can work."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import yaml

from dagster_module_builder.base.errors import (
    BuilderError,
    ConflictError,
    DamagedFileError,
    ToolError,
)
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.claims.conflicts import Finding
from dagster_module_builder.health.block_findings import block_findings
from dagster_module_builder.health.code_findings import code_findings
from dagster_module_builder.health.file_findings import (
    ambiguous_values,
    conflicting_claims,
    readable_secrets,
    repeated_keys,
)
from dagster_module_builder.health.finding_of_error import REPAIR, VALIDATE, finding_of
from dagster_module_builder.health.fragment_findings import fragment_findings
from dagster_module_builder.transactions.backups import backup_ids
from dagster_module_builder.transactions.plan import Plan
from dagster_module_builder.transactions.reading import reading
from dagster_module_builder.workspaces import hashes
from dagster_module_builder.workspaces.carrying_out import Check
from dagster_module_builder.workspaces.external_checks import compose_accepts, requirements, sources_reach_the_image
from dagster_module_builder.workspaces.planning import plan_changes
from dagster_module_builder.workspaces.workspace import Workspace, read_workspace


def validate(root: Path, *, check: bool = True, load: bool = False) -> list[Finding]:
    """Return all problems of a workspace; nothing is changed.

    Args:
        root: The workspace's root.
        check: Ask uv whether all requirements resolve, and Compose whether it accepts the file.
        load: Load every code location natively.

    Raises:
        BuilderError: The workspace cannot be read.
    """
    workspace, damaged, findings = reading(root, lambda: _inspect(root, check=check))
    if load and not damaged:
        findings += code_findings(root)
    integrated = set() if damaged else {entry.name for entry in workspace.registry.entries}
    return [_with_command(finding, integrated) for finding in findings]


def _inspect(root: Path, *, check: bool) -> tuple[Workspace, list[Finding], list[Finding]]:
    workspace = read_workspace(root)
    damaged = list(_unreadable(workspace))
    return workspace, damaged, damaged or _findings(workspace, _ASKING if check else (sources_reach_the_image,))


def _with_command(finding: Finding, integrated: AbstractSet[str]) -> Finding:
    """Add a command to a finding without one: remove the module, or open the editor at the line."""
    if finding.command:
        return finding
    if finding.owner in integrated:
        return replace(finding, command=f"workspace.remove {finding.owner}")
    return replace(finding, command=_editor(finding.where))


def _editor(where: str) -> str:
    program = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    path, _, line = where.rpartition(":")
    return f"{program} +{line} {shlex.quote(path)}" if path and line.isdigit() else f"{program} {shlex.quote(where)}"


#: The checks by other programs, first the one that needs the interpreter least, while our own checks run.
_ASKING: tuple[Check, ...] = (compose_accepts, requirements, sources_reach_the_image)


_AGAIN = f"Run '{VALIDATE}' again when this is fixed"


def _findings(workspace: Workspace, asking: Sequence[Check]) -> list[Finding]:
    # The other programs run while our own checks do; one after the other, to limit memory.
    with ThreadPoolExecutor(max_workers=1) as threads:
        answers = threads.submit(_answers, asking, workspace)
        seen = [
            *block_findings(workspace),
            *fragment_findings(workspace),
            *conflicting_claims(workspace),
            *repeated_keys(workspace),
            *ambiguous_values(workspace),
            *readable_secrets(workspace),
            *hashes.findings(workspace),
        ]
        places = {finding.where for finding in seen if finding.severity == "error"}
        return [*seen, *(finding for finding in answers.result() if finding.where not in places)]


def _unreadable(workspace: Workspace) -> Iterator[Finding]:
    try:
        _ = workspace.registry, workspace.layouts, workspace.facts
    except BuilderError as error:
        finding = finding_of(error, workspace.layout.workspace_file, f"Fix it, and run '{VALIDATE}' again")
        of_registry = finding.where.startswith(str(layout_of(workspace.root).registry))
        way_back = _last_backup(workspace.root) if of_registry else ""
        yield replace(finding, command=REPAIR if REPAIR in finding.fix else way_back)


def _last_backup(root: Path) -> str:
    return next((f"workspace.restore {identity}" for identity in reversed(backup_ids(root))), "")


def _answers(asking: Sequence[Check], workspace: Workspace) -> list[Finding]:
    """Run checks on the current workspace; return a finding if no plan can be made of it."""
    try:
        plan = plan_changes(workspace, [], [])
    except BuilderError as error:
        return [finding_of(error, workspace.root, _AGAIN)]
    return [finding for look in asking for finding in _answer(look, workspace, plan)]


def _answer(look: Check, workspace: Workspace, plan: Plan) -> list[Finding]:
    try:
        notes = list(look(workspace, plan))
    except ConflictError as error:
        return [Finding("error", reason, error.where, error.fix, error.owner) for reason in error.reasons]
    except DamagedFileError as error:
        return [Finding("error", error.problem, error.place, error.way_out)]
    except (ToolError, yaml.YAMLError) as error:
        return [Finding("error", str(error), str(workspace.root), _AGAIN, command=VALIDATE)]
    except BuilderError as error:
        return [finding_of(error, workspace.root, _AGAIN)]
    words = [note.removeprefix("Warning: ") for note in notes]
    return [Finding("warning", note, str(workspace.root), _AGAIN, command=VALIDATE) for note in words]
