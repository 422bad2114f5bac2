"""The folders in which an adopted repository has its projects, and the tasks that work on them without Compose."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dagster_module_builder.adoption.model import Location
from dagster_module_builder.adoption.module_folders import module_folders
from dagster_module_builder.adoption.repository import Repository
from dagster_module_builder.base.errors import DamagedFileError
from dagster_module_builder.base.layout import FILE, layout_of
from dagster_module_builder.workspaces.adopt import adopt, look_through
from dagster_module_builder.workspaces.listing import listing
from tests.adoption.adopted import adopted, bytes_of, laid_out
from tests.adoption.cases import CASES, Case, cases
from tests.cli.terminal import Terminal

#: The repositories of the corpus whose projects are together in a folder; the others have none, or ``projects``.
TOGETHER = {
    "compose-in-docker-with-project-elsewhere": "dagster",
    "dg-workspace-in-pyproject": "packages",
    "dg-workspace-with-an-array": "services",
    "module-behind-an-entrypoint": "packages",
    "native-monorepo": "packages",
}


@pytest.mark.parametrize("case", [case for case in cases() if case.expected["adoptable"]], ids=lambda case: case.name)
def test_the_folders_of_the_projects_are_listed_after_the_one_for_new_modules(case: Case, tmp_path: Path) -> None:
    root = laid_out(case, tmp_path)
    adopted(case, root)
    more = [TOGETHER[case.name]] if case.name in TOGETHER else []
    assert layout_of(root).module_folders == tuple(root / name for name in ["projects", *more])
    assert all((root / name).is_dir() for name in more)


def proposed(root: Path, *projects: str) -> list[str]:
    """Return what is proposed for a repository that has its code locations in these projects."""
    for project in projects:
        (root / project).mkdir(parents=True, exist_ok=True)
        (root / project / "pyproject.toml").touch()
    locations = [Location(project, "python_module", folder=Path(project) / "src") for project in projects]
    return [folder.as_posix() for folder in module_folders(Repository(root), locations)]


@pytest.mark.parametrize(
    ("projects", "folders"),
    [
        ([], []),
        (["a"], []),
        (["projects/a"], []),
        (["team/a", "team/b"], ["team"]),
        (["team/a", "other/etl/b"], ["other/etl", "team"]),
        (["team/a", "other/a"], []),
        (["team/a", "other/a", "third/b"], ["third"]),
        (["projects/a", "team/a", "team/b"], []),
        (["team/a", "team/a/b"], ["team"]),
        ([".hidden/a", "with, comma/b", "team/c"], ["team"]),
    ],
    ids=lambda value: "-".join(value).replace("/", "_"),
)
def test_what_is_ambiguous_is_not_listed(projects: list[str], folders: list[str], tmp_path: Path) -> None:
    assert proposed(tmp_path, *projects) == ["projects", *folders]


def test_code_that_is_in_no_project_or_elsewhere_is_passed_by(tmp_path: Path) -> None:
    places = [None, Path(), Path("flows/sea"), Path("/opt/dagster/team/a"), Path("../team/a")]
    locations = [Location(str(place), "python_module", folder=place) for place in places]
    assert module_folders(Repository(tmp_path), locations) == [Path("projects")]


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        (["packages"], "packages"),
        (["code/modules", "packages"], "code/modules, packages"),
        (["code/modules, ./packages/", "code"], "code/modules, packages, code"),
        (["packages", "packages"], "packages"),
    ],
)
def test_the_folders_can_be_given(asked: list[str], line: str, tmp_path: Path) -> None:
    root = laid_out(Case(CASES / "native-monorepo"), tmp_path)
    adopt(look_through(root, projects=asked, write_workspace_file=True))
    assert f"\nprojects = {line}\n" in (root / FILE).read_text()
    assert layout_of(root).module_folders == tuple(root / name for name in line.split(", "))


def test_a_given_folder_outside_the_repository_is_refused(tmp_path: Path) -> None:
    root = laid_out(Case(CASES / "native-monorepo"), tmp_path)
    before = bytes_of(root)
    with pytest.raises(DamagedFileError, match=r"'\.\./elsewhere'"):
        adopt(look_through(root, projects=["packages,../elsewhere"], write_workspace_file=True))
    assert bytes_of(root) == before


@pytest.fixture
def monorepo(tmp_path: Path) -> Terminal:
    """A repository with two projects in a folder, and no Compose: adopted on the command line."""
    root = laid_out(Case(CASES / "native-monorepo"), tmp_path)
    (home := tmp_path / "home").mkdir()
    terminal = Terminal(root, {**os.environ, "HOME": str(home), "DAGSTER_WORKSPACE": str(root), "NO_COLOR": "1"}, root)
    flags = ["--projects", "projects", "--projects", "packages", "--write-workspace-file", "--yes"]
    assert "+projects = projects, packages" in terminal.done("workspace.adopt", *flags)
    return terminal


def test_without_compose_projects_are_audited_where_they_are(monorepo: Terminal) -> None:
    every = monorepo.run("audit", "--all", "--json")
    assert every.returncode in {0, 1}, every.stderr
    named = [each["module"] for each in json.loads(every.stdout)]
    assert named == ["silk", "wool"]
    one = monorepo.run("audit", "silk")
    assert one.stdout.startswith("Audit Results for: silk")
    assert "Traceback" not in one.stderr


def test_without_compose_an_upgrade_is_looked_at_and_nothing_is_changed(monorepo: Terminal) -> None:
    before = bytes_of(monorepo.root)
    checked = monorepo.run("upgrade", "silk", "--check")
    assert checked.returncode == 1, checked.stderr
    assert "silk" in checked.stdout + checked.stderr
    assert bytes_of(monorepo.root) == before


@pytest.mark.parametrize(("flags", "folder"), [([], "projects"), (["--into", "packages"], "packages")])
def test_without_compose_a_new_module_is_made_audited_upgraded_added_and_removed(
    flags: list[str], folder: str, monorepo: Terminal
) -> None:
    monorepo.done("new", "tides", *flags, "--workspace", "no", "--deployment", "no", "--no-input")
    assert (monorepo.root / folder / "tides/pyproject.toml").is_file()
    assert "Audit Results for: tides" in monorepo.done("audit", "tides")
    assert monorepo.done("upgrade", "tides", "--check").strip() == "tides is up to date"
    before = bytes_of(monorepo.root)
    monorepo.done("workspace.add", "tides", "--no-check")
    assert f"working_directory: {folder}/tides/src".encode() in (monorepo.root / "workspace.yaml").read_bytes()
    assert [(each.path, each.integrated) for each in listing(monorepo.root)] == [(f"{folder}/tides", True)]
    monorepo.done("workspace.remove", "tides")
    assert bytes_of(monorepo.root) == before


def test_a_dg_workspace_lists_a_module_of_the_second_folder(tmp_path: Path) -> None:
    root = laid_out(Case(CASES / "dg-workspace-with-an-array"), tmp_path)
    adopted(Case(CASES / "dg-workspace-with-an-array"), root)
    environment = {**os.environ, "HOME": str(tmp_path), "DAGSTER_WORKSPACE": str(root), "NO_COLOR": "1"}
    terminal = Terminal(root, environment, root)
    terminal.done("new", "tides", "--into", "services", "--workspace", "no", "--deployment", "no", "--no-input")
    before = bytes_of(root)
    terminal.done("workspace.add", "tides", "--no-check")
    assert b'{ path = "services/tides" },' in (root / "dg.toml").read_bytes()
    terminal.done("workspace.remove", "tides")
    assert bytes_of(root) == before
