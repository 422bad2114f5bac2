"""Carry an audit out: every check of the table on one module, or on all of a workspace at once."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dagster_module_builder import settings
from dagster_module_builder.audit import (  # noqa: F401 - importing them fills the table
    code,
    deployments,
    environment,
    fragments,
    secret_files,
    variables,
    versions,
)
from dagster_module_builder.audit.results import Audit, Problem, Result
from dagster_module_builder.audit.subject import Subject
from dagster_module_builder.audit.table import TABLE, Check, check
from dagster_module_builder.errors import BuilderError, NoModuleError
from dagster_module_builder.layout import is_project
from dagster_module_builder.module_environment import environment_of


@dataclass(frozen=True)
class Wanted:
    """What an audit may make and run.

    Attributes:
        load: Make an environment, and load the module there.
        tests: Run the module's tests there, too.
        python: The Python of an environment that is used instead of making one.
    """

    load: bool = False
    tests: bool = False
    python: Path | None = None


@check("switched-off", "What is switched off has a reason", "A colleague asks why in a year.")
def switched_off(subject: Subject) -> Sequence[Problem]:
    """Look for checks that are switched off without a reason, or that are none."""
    where, found = "pyproject.toml", subject.switched_off
    silent = [name for name, reason in found.items() if name in TABLE and not _is_reason(reason)]
    unknown = [name for name in found if name not in TABLE]
    return [
        *(Problem(f"{name} is switched off without a reason", "Say why, as its value", where) for name in silent),
        *(Problem(f"There is no check {name}", "Take it out", where, "WARN") for name in unknown),
    ]


def _is_reason(reason: object) -> bool:
    return isinstance(reason, str) and bool(reason.strip())


def find(root: Path, name_or_path: str) -> Path:
    """Return the folder of a module, made by anybody, by its name or a path to it.

    Raises:
        NoModuleError: There is no such folder.
    """
    is_path = os.sep in name_or_path or name_or_path in {".", ".."}
    path = Path(name_or_path).expanduser().absolute() if is_path else root / settings.PROJECTS / name_or_path
    path = Path(os.path.normpath(path))
    if not path.is_dir():
        raise NoModuleError(path.name, path.parent)
    return path


def projects_in(root: Path) -> list[Path]:
    """Return every folder under ``projects/`` that could be a code location, by name."""
    projects = root / settings.PROJECTS
    return sorted(path for path in projects.iterdir() if is_project(path)) if projects.is_dir() else []


def audit(root: Path, path: Path, wanted: Wanted | None = None, only: Collection[str] | None = None) -> Audit:
    """Audit one module.

    Args:
        root: The workspace's root.
        path: The module's folder.
        wanted: What may be made and run for it; nothing by default.
        only: The ids of the checks that are made; all by default.
    """
    options = wanted or Wanted()
    python, problem = _python(root, path, options)
    subject = Subject(path, root, python)
    checks = [one for one in TABLE.values() if only is None or one.id in only]
    return Audit(path, tuple(_result(subject, one, options, problem) for one in checks))


def _python(root: Path, path: Path, wanted: Wanted) -> tuple[Path | None, Problem | None]:
    if not (wanted.load or wanted.tests):
        return None, None
    try:
        return wanted.python or environment_of(root, path, tests=wanted.tests), None
    except BuilderError as error:
        return None, Problem(f"No environment could be made: {error}", "Mend its requirements")


def _result(subject: Subject, one: Check, wanted: Wanted, problem: Problem | None) -> Result:
    reason = subject.switched_off.get(one.id)
    if _is_reason(reason):
        return Result(one.id, one.title, one.docs, off=str(reason))
    return Result(one.id, one.title, one.docs, _problems(subject, one, wanted, problem))


def _problems(subject: Subject, one: Check, wanted: Wanted, problem: Problem | None) -> tuple[Problem, ...]:
    flag = {"environment": "--load", "tests": "--run-tests"}.get(one.needs)
    asked = {"environment": wanted.load or wanted.tests, "tests": wanted.tests}.get(one.needs, True)
    if not asked:
        return (Problem(f"Only with {flag}", status="SKIP"),)
    if one.needs != "nothing" and problem:
        return (problem,)
    try:
        return tuple(one.look(subject))
    except OSError as error:
        return (Problem(f"{error.filename}: {error.strerror}", "Make it readable"),)


def audit_all(root: Path, wanted: Wanted | None = None) -> list[Audit]:
    """Audit every module of a workspace, as many at a time as there are processors."""
    paths = projects_in(root)
    workers = min(len(paths), os.cpu_count() or 1)
    if workers < 2:
        return [audit(root, path, wanted) for path in paths]
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(partial(audit, root, wanted=wanted), paths, chunksize=max(1, len(paths) // workers // 4)))
