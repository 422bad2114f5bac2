"""Run the checks of the table on one module, or on all modules of a workspace in parallel."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dagster_module_builder.audit import (  # noqa: F401 - importing them registers their checks
    code,
    deployments,
    environment,
    fragments,
    io_managers,
    secret_files,
    variables,
    versions,
)
from dagster_module_builder.audit.advice import advice
from dagster_module_builder.audit.audited_module import AuditedModule
from dagster_module_builder.audit.checks import CHECKS, Check, check
from dagster_module_builder.audit.results import Audit, Problem, Result
from dagster_module_builder.audit.shape import shape_of
from dagster_module_builder.base.errors import BuilderError, RefusedError, ToolError
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.modules.code_location import is_project
from dagster_module_builder.modules.module_environment import environment_of
from dagster_module_builder.programs.worker_pool import worker_pool
from dagster_module_builder.transactions.module_files import NotPlainError


@dataclass(frozen=True)
class AuditOptions:
    """What an audit may run.

    Attributes:
        load: Create an environment, and load the module there.
        tests: Also run the module's tests there.
        python: The Python of an existing environment to use instead.
    """

    load: bool = False
    tests: bool = False
    python: Path | None = None


@check(
    "switched-off",
    "Checks that are switched off have a reason",
    "Others need to know why.",
    lambda audited: "" if audited.switched_off or audited.switched_off_by_workspace else "nothing is switched off",
    security=True,
)
def switched_off(audited: AuditedModule) -> Iterator[Problem]:
    """Find switched-off checks that have no reason, do not exist, or protect others from the module."""
    by_module, by_workspace = audited.switched_off, audited.switched_off_by_workspace
    for where, off in (("pyproject.toml", by_module), (str(audited.root / "pyproject.toml"), by_workspace)):
        for name, reason in off.items():
            if name not in CHECKS:
                yield Problem(f"There is no check {name}", "Remove it", where, "WARN")
            elif not _is_reason(reason):
                yield Problem(f"{name} is switched off without a reason", "Set the reason as its value", where)
            elif off is by_module and CHECKS[name].security:
                fix = f"Remove it; the workspace can switch it off in {audited.root / 'pyproject.toml'}"
                yield Problem(f"{name} protects the workspace, so the module cannot switch it off", fix, where)


def _reason(audited: AuditedModule, check_: Check) -> str | None:
    """Return why a check is switched off by the workspace, or by the module unless it is a security check."""
    for off in (audited.switched_off_by_workspace, {} if check_.security else audited.switched_off):
        if _is_reason(reason := off.get(check_.id)):
            return str(reason)
    return None


def _is_reason(reason: object) -> bool:
    return isinstance(reason, str) and bool(reason.strip())


def projects_in(root: Path) -> list[Path]:
    """Return every folder in the folders of the modules that could be a code location, by name."""
    return [path for path in layout_of(root).in_module_folders() if is_project(path)]


def audit(root: Path, path: Path, options: AuditOptions | None = None, only: Collection[str] | None = None) -> Audit:
    """Audit one module.

    Args:
        root: The workspace's root.
        path: The module's folder.
        options: What may be run; nothing by default.
        only: The ids of the checks to run; all by default.
    """
    options = options or AuditOptions()
    python, problem = _python(root, path, options)
    checks = [check_ for check_ in CHECKS.values() if only is None or check_.id in only]
    with _without_collector():
        return _audited(AuditedModule(path, root, python), checks, options, problem)


def _audited(audited: AuditedModule, checks: Sequence[Check], options: AuditOptions, problem: Problem | None) -> Audit:
    results = tuple(_result(audited, check_, options, problem) for check_ in checks)
    if len(checks) < len(CHECKS):
        return Audit(audited.path, results)
    return Audit(audited.path, results, "" if audited.record else _shape(audited), _advice(audited))


def _advice(audited: AuditedModule) -> tuple[str, ...]:
    try:
        return tuple(advice(audited))
    except (BuilderError, OSError):
        # The check that reads the same files says so.
        return ()


def _shape(audited: AuditedModule) -> str:
    try:
        return str(shape_of(audited))
    except (BuilderError, OSError) as error:
        return f"unknown: {error}"


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Pause the collector of cycles: it would go through millions of syntax nodes again and again, which have none."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _python(root: Path, path: Path, options: AuditOptions) -> tuple[Path | None, Problem | None]:
    if not (options.load or options.tests):
        return None, None
    try:
        return options.python or environment_of(root, path, tests=options.tests), None
    except BuilderError as error:
        return None, Problem(f"The environment could not be created: {error}", "Fix its requirements")


def _result(audited: AuditedModule, check_: Check, options: AuditOptions, problem: Problem | None) -> Result:
    if reason := _reason(audited, check_):
        return Result(check_.id, check_.title, check_.docs, off=reason, category=check_.category)
    problems = _problems(audited, check_, options, problem)
    return Result(check_.id, check_.title, check_.docs, problems, category=check_.category)


def _problems(
    audited: AuditedModule, check_: Check, options: AuditOptions, environment_problem: Problem | None
) -> tuple[Problem, ...]:
    flag = {"environment": "--load", "tests": "--run-tests"}.get(check_.needs)
    requested = {"environment": options.load or options.tests, "tests": options.tests}.get(check_.needs, True)
    if not requested:
        return (Problem(f"Only with {flag}", status="SKIP"),)
    if check_.needs != "nothing" and environment_problem:
        # Report one cause as one failure.
        return (environment_problem if check_.id == "loads" else replace(environment_problem, status="SKIP"),)
    return _found(audited, check_)


def _found(audited: AuditedModule, check_: Check) -> tuple[Problem, ...]:
    try:
        if why := check_.lacks(audited):
            return (Problem(why, status="SKIP"),)
        return tuple(check_.find_problems(audited))
    except NotPlainError as error:
        return (Problem(str(error), "Replace it with a regular file"),)
    except RefusedError as error:
        return (Problem(str(error), "Make that file readable"),)
    except OSError as error:
        return (Problem(f"{error.filename}: {error.strerror}", "Make it readable"),)
    except ToolError as error:
        return (Problem(str(error), "Make that program work, then run the audit again"),)


def audit_all(root: Path, options: AuditOptions | None = None) -> list[Audit]:
    """Audit every module of a workspace, one process per processor."""
    paths = projects_in(root)
    workers = min(len(paths), os.cpu_count() or 1)
    if workers < 2:
        return [audit(root, path, options) for path in paths]
    with worker_pool(workers) as pool:
        return list(
            pool.map(partial(audit, root, options=options), paths, chunksize=max(1, len(paths) // workers // 4))
        )
