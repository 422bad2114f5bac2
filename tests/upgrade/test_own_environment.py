"""Where a project's own environment is found: beside it, or where uv and PDM keep it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dagster_module_builder.modules.own_environment import own_python
from tests.audit.projects import SCAFFOLD, write
from tests.template import environment

pytestmark = pytest.mark.dagster


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write(tmp_path / "repository/projects/orders", SCAFFOLD)


def test_an_environment_beside_the_project_is_its_own(project: Path) -> None:
    (project / "venv").symlink_to(environment.made().folder)
    assert own_python(project) == project / "venv/bin/python"


def test_an_environment_without_dagster_is_not_used(project: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", project / ".venv"], check=True)
    assert own_python(project) is None
    write(project, {"dagster/__init__.py": ""})
    assert own_python(project) is None


def test_the_environment_of_a_uv_workspace_is_its_members(project: Path) -> None:
    repository = project.parents[1]
    write(repository, {"pyproject.toml": "[tool.uv.workspace]\nmembers = ['projects/*']\n"})
    (repository / ".venv").symlink_to(environment.made().folder)
    assert own_python(project) == repository / ".venv/bin/python"
    (repository / "pyproject.toml").write_text("")
    assert own_python(project) is None


def test_the_python_that_pdm_chose_is_the_projects(project: Path) -> None:
    python = environment.made().python
    (project / ".pdm-python").write_text(f"{python}\n")
    assert own_python(project) == python


def test_a_lock_of_uv_becomes_an_environment_outside_the_project(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (project / "pyproject.toml").write_text(
        SCAFFOLD["pyproject.toml"].replace('"dagster",', f'"{environment.DAGSTER}",')
    )
    uv = [sys.executable, "-m", "uv", "--quiet", "lock"]
    subprocess.run(uv, cwd=project, env=dict(os.environ), check=True)
    # What Nox sets, and tools of its kind.
    for name in ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "UV_PYTHON"):
        monkeypatch.setenv(name, str(tmp_path / "active"))
    files = sorted(project.rglob("*"))
    python = own_python(project)
    assert python is not None
    assert python.is_relative_to(tmp_path / "cache")
    assert sorted(project.rglob("*")) == files
