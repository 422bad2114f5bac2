"""Carry an audit out: every check of the table on one module, or on all of a workspace at once."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dagster_module_builder.audit import (  # noqa: F401 - importing them fills the table
    code,
    deployments,
    environment,
    fragments,
    io_managers,
    secret_files,
    variables,
    versions,
)
from dagster_module_builder.audit.audited_module import AuditedModule
from dagster_module_builder.audit.checks import CHECKS, Check, check
from dagster_module_builder.audit.results import Audit, Problem, Result
from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import BuilderError, NoModuleError, RefusedError, ToolError
from dagster_module_builder.modules.code_location import is_project
from dagster_module_builder.modules.module_environment import environment_of
from dagster_module_builder.transactions.module_files import NotPlainError


@dataclass(frozen=True)
class AuditOptions:
    """What an audit may make and run.

    Attributes:
        load: Make an environment, and load the module there.
        tests: Run the module's tests there, too.
        python: The Python of an environment that is used instead of making one.
    """

    load: bool = False
    tests: bool = False
    python: Path | None = None


@check(
    "switched-off",
    "What is switched off has a reason",
    "A colleague asks why in a year.",
    lambda audited: "" if audited.switched_off or audited.switched_off_by_workspace else "nothing is switched off",
    security=True,
)
def switched_off(audited: AuditedModule) -> Iterator[Problem]:
    """Look for checks that are switched off without a reason, that there are not, or that the module may not touch."""
    by_module, by_workspace = audited.switched_off, audited.switched_off_by_workspace
    for where, found in (("pyproject.toml", by_module), (str(audited.root / "pyproject.toml"), by_workspace)):
        for name, reason in found.items():
            if name not in CHECKS:
                yield Problem(f"There is no check {name}", "Take it out", where, "WARN")
            elif not _is_reason(reason):
                yield Problem(f"{name} is switched off without a reason", "Say why, as its value", where)
            elif found is by_module and CHECKS[name].security:
                fix = f"Take it out; the workspace can switch it off, in {audited.root / 'pyproject.toml'}"
                yield Problem(f"{name} guards the workspace, so the module cannot switch it off", fix, where)


def _reason(audited: AuditedModule, one: Check) -> str | None:
    """Return why a check is switched off: by the workspace, or by the module itself where it may."""
    for found in (audited.switched_off_by_workspace, {} if one.security else audited.switched_off):
        if _is_reason(reason := found.get(one.id)):
            return str(reason)
    return None


def _is_reason(reason: object) -> bool:
    return isinstance(reason, str) and bool(reason.strip())


def find(root: Path, name_or_path: str) -> Path:
    """Return the folder of a module, made by anybody, by its name or a path to it.

    Raises:
        NoModuleError: There is no such folder.
    """
    is_path = os.sep in name_or_path or name_or_path in {".", ".."}
    path = settings.expanded(name_or_path).absolute() if is_path else root / settings.PROJECTS / name_or_path
    path = Path(os.path.normpath(path))
    if not path.is_dir():
        raise NoModuleError(path.name, path.parent)
    return path


def projects_in(root: Path) -> list[Path]:
    """Return every folder under ``projects/`` that could be a code location, by name."""
    projects = root / settings.PROJECTS
    return sorted(path for path in projects.iterdir() if is_project(path)) if projects.is_dir() else []


def audit(root: Path, path: Path, wanted: AuditOptions | None = None, only: Collection[str] | None = None) -> Audit:
    """Audit one module.

    Args:
        root: The workspace's root.
        path: The module's folder.
        wanted: What may be made and run for it; nothing by default.
        only: The ids of the checks that are made; all by default.
    """
    options = wanted or AuditOptions()
    python, problem = _python(root, path, options)
    audited = AuditedModule(path, root, python)
    checks = [one for one in CHECKS.values() if only is None or one.id in only]
    return Audit(path, tuple(_result(audited, one, options, problem) for one in checks))


def _python(root: Path, path: Path, wanted: AuditOptions) -> tuple[Path | None, Problem | None]:
    if not (wanted.load or wanted.tests):
        return None, None
    try:
        return wanted.python or environment_of(root, path, tests=wanted.tests), None
    except BuilderError as error:
        return None, Problem(f"No environment could be made: {error}", "Fix its requirements")


def _result(audited: AuditedModule, one: Check, wanted: AuditOptions, problem: Problem | None) -> Result:
    if reason := _reason(audited, one):
        return Result(one.id, one.title, one.docs, off=reason)
    return Result(one.id, one.title, one.docs, _problems(audited, one, wanted, problem))


def _problems(audited: AuditedModule, one: Check, wanted: AuditOptions, problem: Problem | None) -> tuple[Problem, ...]:
    flag = {"environment": "--load", "tests": "--run-tests"}.get(one.needs)
    asked = {"environment": wanted.load or wanted.tests, "tests": wanted.tests}.get(one.needs, True)
    if not asked:
        return (Problem(f"Only with {flag}", status="SKIP"),)
    if one.needs != "nothing" and problem:
        # One cause is one failure.
        return (problem if one.id == "loads" else replace(problem, status="SKIP"),)
    return _looked(audited, one)


def _looked(audited: AuditedModule, one: Check) -> tuple[Problem, ...]:
    try:
        if why := one.lacks(audited):
            return (Problem(why, status="SKIP"),)
        return tuple(one.look(audited))
    except NotPlainError as error:
        return (Problem(str(error), "Put a plain file in its place"),)
    except RefusedError as error:
        return (Problem(str(error), "Make that file readable"),)
    except OSError as error:
        return (Problem(f"{error.filename}: {error.strerror}", "Make it readable"),)
    except ToolError as error:
        return (Problem(str(error), "Make that program work; the check was not made"),)


def audit_all(root: Path, wanted: AuditOptions | None = None) -> list[Audit]:
    """Audit every module of a workspace, as many at a time as there are processors."""
    paths = projects_in(root)
    workers = min(len(paths), os.cpu_count() or 1)
    if workers < 2:
        return [audit(root, path, wanted) for path in paths]
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(partial(audit, root, wanted=wanted), paths, chunksize=max(1, len(paths) // workers // 4)))
