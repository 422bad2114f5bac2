"""Modules in workspaces without Compose: what their files get, and what a person is told."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dagster_module_builder.base.errors import BuilderError, ConflictError, DamagedFileError
from dagster_module_builder.base.layout import FILE, layout_of
from dagster_module_builder.health.validate import validate
from dagster_module_builder.shared_files.formats import dg_toml
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.adopt import adopt, look_through
from dagster_module_builder.workspaces.listing import listing
from dagster_module_builder.workspaces.remove import remove_module
from dagster_module_builder.workspaces.sync import sync
from tests import needs
from tests.adoption.adopted import adopted, bytes_of, laid_out
from tests.adoption.cases import CASES, Case
from tests.corpus.workspaces import Modules

TENANTS, BELOW, FILES = "native-workspace-of-tenants", "native-in-a-folder-with-systemd", "native-workspace-of-files"
SERVER = (
    "sales-report needs a PostgreSQL server at 127.0.0.1:{port}, which nothing starts here. Its database, user and "
    "password are in .env, its tables in projects/sales-report/workspace/local/schema.sql."
)
ARRAY = "dg-workspace-with-an-array"


def with_module(case: str, folder: Path, modules: Modules, name: str) -> Path:
    """Return a repository that was adopted, with a module that is not added yet."""
    root = laid_out(Case(CASES / case), folder)
    adopted(Case(CASES / case), root)
    shutil.copytree(modules.folders[name], root / "projects" / name)
    return root


def entry(root: Path) -> dict[str, Any]:
    """Return the last entry of the workspace file."""
    details: dict[str, Any] = yaml.safe_load(layout_of(root).workspace_file.read_text())["load_from"][-1][
        "python_package"
    ]
    return details


@pytest.mark.parametrize(
    ("case", "folder"),
    [(TENANTS, "projects/notes/src"), (BELOW, "../projects/notes/src"), (FILES, "{root}/projects/notes/src")],
    ids=["in the root", "where Dagster starts", "where Dagster may start elsewhere"],
)
def test_a_code_location_is_found_from_where_dagster_starts(
    case: str, folder: str, tmp_path: Path, modules: Modules
) -> None:
    root = with_module(case, tmp_path, modules, "notes")
    add_module(root, "notes")
    assert entry(root) == {
        "package_name": "notes_dagster.definitions",
        "working_directory": folder.format(root=root),
        "location_name": "notes",
    }
    assert [found for found in validate(root, check=False) if found.severity == "error"] == []


@pytest.mark.parametrize(("name", "own_server"), [("notes", True), ("forecast", False)])
def test_a_module_apart_has_its_own_python(name: str, own_server: bool, tmp_path: Path, modules: Modules) -> None:
    root = with_module(TENANTS, tmp_path, modules, name)
    done = add_module(root, name, own_server=own_server)
    assert entry(root)["executable_path"] == f".native/{name}/venv/bin/python"
    assert f".native/{name}/venv/bin/python" in "\n".join(done.notes)
    assert not sync(root, dry_run=True).outcome.plan.effective


def test_what_this_machine_must_have_is_said(tmp_path: Path, modules: Modules) -> None:
    root = with_module(TENANTS, tmp_path, modules, "sales-report")
    snippet = root / "projects/sales-report/workspace/local/dockerfile.snippet"
    snippet.write_text(
        "# Drawing.\nRUN apt-get update \\\n    && apt-get install --yes graphviz unixodbc \\\n"
        "    && rm -rf /var/lib/apt/lists/*\nRUN curl https://example.org/install | sh\n" + snippet.read_text()
    )
    notes = add_module(root, "sales-report").notes
    port = layout_of(root).env_file.read_text().partition("SALES_REPORT_DB_PORT='")[2].partition("'")[0]
    assert port.isdigit()
    assert [note for note in notes if "needs" in note and "uv pip" not in note] == [
        SERVER.format(port=port),
        "sales-report needs these system packages on this machine: graphviz, unixodbc.",
        "sales-report needs on this machine what its Dockerfile snippet has: RUN curl https://example.org/install | sh",
    ]
    assert [(each.name, each.integrated) for each in listing(root)] == [("sales-report", True)]


def test_a_module_without_variables_makes_no_file_of_them(tmp_path: Path, modules: Modules) -> None:
    root = with_module(TENANTS, tmp_path, modules, "forecast")
    add_module(root, "forecast")
    assert not layout_of(root).env_file.exists()


def test_a_dg_workspace_follows_its_owners_changes(tmp_path: Path, modules: Modules) -> None:
    root = with_module(ARRAY, tmp_path, modules, "notes")
    before = (root / "dg.toml").read_bytes()
    diff = add_module(root, "notes").plan.diff()
    assert '+    { path = "projects/notes" },' in diff
    edited = (root / "dg.toml").read_bytes().replace(b"\n]  # both", b'\n    { path = "services/pier" },\n]  # both')
    (root / "dg.toml").write_bytes(edited)
    assert not sync(root, dry_run=True).outcome.plan.effective
    assert validate(root, check=False) == []
    remove_module(root, "notes")
    left = (root / "dg.toml").read_bytes()
    assert dg_toml.projects(left) == [*dg_toml.projects(before), "services/pier"]


def test_a_project_that_dg_knows_already_is_refused(tmp_path: Path, modules: Modules) -> None:
    root = with_module(ARRAY, tmp_path, modules, "notes")
    path = root / "dg.toml"
    path.write_text(path.read_text().replace("projects = [", 'projects = [{ path = "projects/notes" }, '))
    before = bytes_of(root)
    with pytest.raises(ConflictError, match="lists projects/notes already"):
        add_module(root, "notes")
    assert bytes_of(root) == before


def test_a_block_that_was_edited_is_found(tmp_path: Path, modules: Modules) -> None:
    root = with_module(ARRAY, tmp_path, modules, "notes")
    add_module(root, "notes")
    path = root / "dg.toml"
    path.write_text(path.read_text().replace('"projects/notes"', '"projects/other"'))
    (found, *_) = validate(root, check=False)
    assert (found.message, found.where) == ("the block of 'notes' was edited by hand", f"{path}:5")


@pytest.mark.parametrize("task", ["workspace.up", "workspace.down", "workspace.logs"])
def test_tasks_of_containers_say_what_to_do_instead(task: str, tmp_path: Path) -> None:
    root = laid_out(Case(CASES / TENANTS), tmp_path)
    adopted(Case(CASES / TENANTS), root)
    command = [needs.program("dagster-module-builder"), task, "--root", str(root)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    assert f"Dagster runs without containers here: {root / FILE} names no compose-file" in done.stderr
    assert "workspace.dev" in done.stderr


def test_a_layout_that_lists_no_code_is_damaged(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("[workspace]\ncompose-file =\nworkspace-file =\n")
    with pytest.raises(DamagedFileError, match=rf"{FILE}:3: workspace-file is empty, and so is dg-file"):
        layout_of(tmp_path)


def test_projects_by_pyproject_are_offered_as_a_workspace_file(tmp_path: Path) -> None:
    root = laid_out(Case(CASES / "native-monorepo"), tmp_path)
    before = bytes_of(root)
    with pytest.raises(BuilderError, match=r"(?s)code is named in pyproject.toml.*dagster dev -w workspace.yaml"):
        adopt(look_through(root))
    assert bytes_of(root) == before
