"""Forty projects in the structure of public repositories: what the audit sees, and what an upgrade makes of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from dagster_module_builder.audit.run import audit
from dagster_module_builder.modules.code_location import code_files
from dagster_module_builder.upgrade.result import UpgradeResult
from dagster_module_builder.upgrade.run import Consent, upgrade
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.initialize import initialize
from tests.audit.projects import write
from tests.project_corpus import others, packaged
from tests.project_corpus.expected import EXPECTED
from tests.template import environment
from tests.upgrade.module_files import files_of

PROJECTS = {**packaged.PROJECTS, **others.PROJECTS}
#: The folder with the forms in which values are stored, under the first name that is free.
STORED = re.compile(r"(?:^|/)(?:stored|stored_values|module_stored_values)/\w+\.py$")
LOADS_AS_BEFORE = re.compile(r"The definitions load as before: \d assets?")
#: What an upgrade may add to a project.
ADDED = (
    ".env.example", ".gitignore", "deploy/", "workspace/local/", "storage.py", "resources.py", "io_manager.py",
    "module_storage.py", "pyproject.toml",
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus") / "workspace"
    initialize(root, {})
    return root


@pytest.fixture
def root(made: Path) -> Iterator[Path]:
    yield made
    shutil.rmtree(made / "projects/orders", ignore_errors=True)


def test_each_project_has_a_source_and_expectations() -> None:
    assert set(PROJECTS) == set(EXPECTED)
    assert len(PROJECTS) >= 40
    assert all("/" in project.source for project in PROJECTS.values())


@pytest.mark.parametrize("kind", PROJECTS)
def test_a_project_is_recognized_and_given_what_it_lacks(root: Path, kind: str) -> None:
    expected = EXPECTED[kind]
    project = write(root / "projects/orders", dict(PROJECTS[kind].files))
    before = files_of(project)
    assert audit(root, project).shape == expected.shape
    result = upgrade(root, "orders")
    after = files_of(project)
    assert tuple(sorted(name for name in before if before[name] != after[name])) == expected.changed
    new = {name for name in set(after) - set(before) if not STORED.search(name)}
    assert [name for name in new if not name.startswith(ADDED) and not name.endswith(ADDED)] == []
    assert _all_said(result.by_hand, expected.by_hand)
    assert tuple(one.check for one in audit(root, project).results if one.status == "FAIL") == expected.left
    for path in code_files(project):
        compile(path.read_bytes(), path, "exec")
    assert not upgrade(root, "orders").changes


def _all_said(by_hand: Sequence[str], wanted: Sequence[str]) -> bool:
    return len(by_hand) == len(wanted) and all(
        part in line for part, line in zip(sorted(wanted), sorted(by_hand), strict=True)
    )


ADDABLE = [kind for kind in PROJECTS if "fragments-fit" not in EXPECTED[kind].left]


@pytest.mark.parametrize("kind", ADDABLE[::4])
def test_an_upgraded_project_can_be_added(made: Path, tmp_path: Path, kind: str) -> None:
    root = Path(shutil.copytree(made, tmp_path / "workspace", symlinks=True))
    write(root / "projects/orders", dict(PROJECTS[kind].files))
    upgrade(root, "orders")
    add_module(root, "orders", checks=())
    assert "location_name: orders" in (root / "services/dagster/workspace.yaml").read_text()


def loaded(root: Path, kind: str, environment_of_project: str) -> UpgradeResult:
    project = write(root / "projects/orders", dict(PROJECTS[kind].files))
    packages = environment.made(environment_of_project)
    (project / ".venv").symlink_to(packages.folder)
    for settings in project.glob("*/dbt_project.yml"):
        # As a build of the project does before it is loaded.
        command = [
            packages.program("dbt"),
            "parse",
            "--project-dir",
            settings.parent,
            "--profiles-dir",
            settings.parent,
        ]
        subprocess.run(command, cwd=project, check=True, capture_output=True)
    return upgrade(root, "orders", consent=Consent(lambda _: True, lambda *_: True))


@pytest.mark.dagster
@pytest.mark.parametrize("kind", [kind for kind, project in PROJECTS.items() if project.needs == "dagster"])
def test_a_project_loads_before_and_after_its_upgrade(root: Path, kind: str) -> None:
    result = loaded(root, kind, "modules")
    assert "did not load" not in "\n".join(result.notes)
    changed = {str(change.path.relative_to(result.module)) for change in result.plan.effective}
    if any(name.endswith((".py", ".env", ".toml")) for name in changed):
        assert LOADS_AS_BEFORE.match(result.proof)
    registers = "io_manager" in "".join(PROJECTS[kind].files.values())
    by_hand = any("structure of" in line or "has an IO manager" in line for line in result.by_hand)
    assert result.proof.endswith("Added: the resource io_manager.") != (registers or by_hand)


@pytest.mark.dagster
@pytest.mark.parametrize("kind", [kind for kind, project in PROJECTS.items() if project.needs == "integrations"])
def test_a_project_with_another_tool_inside_loads_before_and_after_its_upgrade(root: Path, kind: str) -> None:
    result = loaded(root, kind, "integrations")
    assert LOADS_AS_BEFORE.match(result.proof), result.notes
    assert result.proof.endswith("Added: the resource io_manager.")
