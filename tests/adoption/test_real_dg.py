"""dg itself, as PyPI has it, in a dg workspace with a module of the template."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.remove import remove_module
from tests import needs
from tests.adoption.adopted import adopted, laid_out
from tests.adoption.cases import CASES, Case
from tests.corpus.workspaces import Modules

pytestmark = [pytest.mark.dagster, pytest.mark.slow, pytest.mark.xdist_group("dg")]

#: The forms that dg reads, each with the owner's projects.
WORKSPACES = {
    "dg-workspace": ["hotel-data", "hotel-bi", "hotel-basics"],
    "dg-workspace-with-an-array": ["services/ferry", "services/harbour"],
    "dg-workspace-in-pyproject": ["packages/box"],
    "dg-workspace-that-is-empty": [],
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, modules: Modules) -> Path:
    """The environment of a module, made by the command that ``workspace.add`` names."""
    needs.registry()
    root = tmp_path_factory.mktemp("dg") / "repository"
    shutil.copytree(CASES / "dg-workspace-with-an-array/tree", root)
    adopted(Case(CASES / "dg-workspace-with-an-array"), root)
    shutil.copytree(modules.folders["notes"], root / "projects/notes")
    (note,) = [each for each in add_module(root, "notes").notes if "uv sync" in each]
    command = note.partition("'")[2].rpartition("'")[0].split()
    subprocess.run([needs.program("uv"), *command[1:]], cwd=root, check=True, capture_output=True)
    return root / "projects/notes/.venv/bin"


def dg(environment: Path, folder: Path, *arguments: str) -> str:
    environ = {**os.environ, "PATH": f"{environment}:{os.environ['PATH']}", "HOME": str(environment.parents[4])}
    command = [environment / "dg", *arguments]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", WORKSPACES)
def test_dg_lists_a_module_as_a_project_until_it_is_removed(
    name: str, environment: Path, tmp_path: Path, modules: Modules
) -> None:
    root = laid_out(Case(CASES / name), tmp_path)
    adopted(Case(CASES / name), root)
    shutil.copytree(modules.folders["notes"], root / "projects/notes")
    add_module(root, "notes")
    assert dg(environment, root, "list", "projects").split() == [*WORKSPACES[name], "projects/notes"]
    remove_module(root, "notes")
    assert dg(environment, root, "list", "projects").split() == WORKSPACES[name]


def test_dg_checks_the_workspace_and_lists_the_modules_definitions(environment: Path) -> None:
    module = environment.parents[1]
    assert "files are valid" in dg(environment, module.parents[1], "check", "toml")
    assert "loaded successfully" in dg(environment, module.parents[1], "check", "defs", "--use-active-venv")
    found = json.loads(dg(environment, module, "list", "defs", "--json"))
    assert "notes/cleaned" in [asset["asset_key"] for asset in found["assets"]]
