"""What an audit found."""

from __future__ import annotations

from pathlib import Path

from dagster_module_builder.audit.results import Audit, Problem, Result
from dagster_module_builder.audit.run import AuditOptions, audit


def result(found: Audit, check: str) -> Result:
    return next(one for one in found.results if one.check == check)


def status(root: Path, module: Path, check: str) -> str:
    return result(audit(root, module), check).status


def messages(root: Path, module: Path, check: str) -> str:
    return "\n".join(f"{one.where}: {one.message}" for one in result(audit(root, module), check).problems)


def problems(root: Path, module: Path, check: str, wanted: AuditOptions | None = None) -> list[Problem]:
    """Make one check; return what it says, whole."""
    (made_,) = audit(root, module, wanted, (check,)).results
    return list(made_.problems)


def skipped(why: str) -> list[Problem]:
    return [Problem(why, status="SKIP")]
