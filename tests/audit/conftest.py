"""A workspace with one module of each kind, made once; a test that changes a module gets a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

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
