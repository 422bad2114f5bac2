"""A workspace with one module of each kind, made once; a test that changes a module gets a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dagster_module_builder.audit.results import Audit, Problem, Result
from dagster_module_builder.audit.run import Wanted, audit
from dagster_module_builder.workspaces.initialize import initialize
from dagster_module_builder.workspaces.new import new


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("audited") / "workspace"
    initialize(root, {})
    new(root, "sales-report", {"database": "postgresql", "governance": "enterprise"})
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "workspace", symlinks=True))


@pytest.fixture
def module(root: Path) -> Path:
    return root / "projects" / "sales-report"


def result(found: Audit, check: str) -> Result:
    return next(one for one in found.results if one.check == check)


def status(root: Path, module: Path, check: str) -> str:
    return result(audit(root, module), check).status


def messages(root: Path, module: Path, check: str) -> str:
    return "\n".join(f"{one.where}: {one.message}" for one in result(audit(root, module), check).problems)


def problems(root: Path, module: Path, check: str, wanted: Wanted | None = None) -> list[Problem]:
    """Make one check; return what it says, whole."""
    (made_,) = audit(root, module, wanted, (check,)).results
    return list(made_.problems)


def skipped(why: str) -> list[Problem]:
    return [Problem(why, status="SKIP")]
