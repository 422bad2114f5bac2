"""Modules in several folders of one workspace: what the layout file says, and which folder a name means."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagster_module_builder.audit.run import projects_in
from dagster_module_builder.base.errors import BuilderError, DamagedFileError, NoModuleError, RefusedError
from dagster_module_builder.base.layout import FILE, layout_of
from dagster_module_builder.base.ports import known_ports
from dagster_module_builder.deploy.model.deployment import all_deployments, find, standing_in
from dagster_module_builder.modules.module import folder_of, in_projects, lies_outside, locate, modules_in
from dagster_module_builder.native.location_entries import is_as_made
from dagster_module_builder.upgrade import run as upgrades
from dagster_module_builder.workspaces.new import new

TWO = "projects = projects, pipelines/etl"


def workspace(root: Path, line: str = TWO, *folders: str) -> Path:
    root.mkdir(exist_ok=True)
    (root / FILE).write_text(f"[workspace]\n{line}\n")
    for folder in folders:
        (root / folder).mkdir(parents=True)
    return root


@pytest.mark.parametrize(
    ("line", "folders"),
    [
        ("", ["projects"]),
        ("projects = code/modules", ["code/modules"]),
        (TWO, ["projects", "pipelines/etl"]),
        ("projects =\n    pipelines/etl\n    projects", ["pipelines/etl", "projects"]),
        ("projects =\n    a, b,\n\n    c", ["a", "b", "c"]),
        ("projects = a, ./a, a/", ["a"]),
    ],
)
def test_the_layout_file_lists_the_folders(line: str, folders: list[str], tmp_path: Path) -> None:
    layout = layout_of(workspace(tmp_path, line))
    assert layout.module_folders == tuple(tmp_path / folder for folder in folders)
    assert layout.new_modules == tmp_path / folders[0]


def test_without_a_layout_file_there_is_one_folder(tmp_path: Path) -> None:
    assert layout_of(tmp_path).module_folders == (tmp_path / "projects",)


@pytest.mark.parametrize(
    ("value", "problem"),
    [("", "projects is empty"), (", ,", "projects is empty"), ("a, ../b", "not '../b'"), ("a, /b", "not '/b'")],
)
def test_a_bad_list_is_refused_with_its_line(value: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match=rf"{FILE}:2: .*{problem}"):
        layout_of(workspace(tmp_path, f"projects = {value}"))


def test_another_folder_does_not_move_what_init_made(tmp_path: Path) -> None:
    assert is_as_made(layout_of(workspace(tmp_path)))
    assert not is_as_made(layout_of(workspace(tmp_path, "projects = code, projects")))


def test_a_name_is_looked_for_in_every_folder(tmp_path: Path) -> None:
    root = workspace(tmp_path, TWO, "projects/sales", "pipelines/etl/freight-costs")
    assert locate(root, "sales") == root / "projects/sales"
    for search in (locate, folder_of, upgrades.locate):
        assert search(root, "freight_costs") == root / "pipelines/etl/freight-costs"
    with pytest.raises(NoModuleError) as refusal:
        locate(root, "freight-cost")
    assert f"in {root}/projects or {root}/pipelines/etl" in str(refusal.value)
    assert "freight-costs" in str(refusal.value)


def test_a_name_that_means_two_is_refused_and_a_path_says_which(tmp_path: Path) -> None:
    root = workspace(tmp_path, TWO, "projects/sales", "pipelines/etl/sales")
    both = [root / "projects/sales", root / "pipelines/etl/sales"]
    for search in (locate, folder_of, upgrades.locate):
        with pytest.raises(RefusedError, match="ambiguous") as refusal:
            search(root, "sales")
        assert [path for path in both if str(path) not in str(refusal.value)] == []
        assert [search(root, str(path)) for path in both] == both


def test_a_name_that_is_written_exactly_wins_over_one_with_dashes(tmp_path: Path) -> None:
    root = workspace(tmp_path, TWO, "projects/a-b", "pipelines/etl/a_b")
    assert folder_of(root, "a_b") == root / "pipelines/etl/a_b"


def test_a_folder_of_modules_inside_another_one_is_no_module(tmp_path: Path) -> None:
    root = workspace(tmp_path, "projects = projects, projects/etl", "projects/sales", "projects/etl/freight")
    assert layout_of(root).in_module_folders() == [root / "projects/etl/freight", root / "projects/sales"]


def test_modules_of_all_folders_are_seen(tmp_path: Path) -> None:
    root = workspace(tmp_path, TWO)
    modules = [root / "pipelines/etl/freight", root / "projects/sales"]
    for port, module in enumerate(modules, 5440):
        (module / "workspace/local").mkdir(parents=True)
        (module / "workspace/local/.env").write_text(f"X_PORT='{port}'\n")
        (module / "deploy/live").mkdir(parents=True)
        (module / "deploy/live/deployment.yaml").touch()
    assert modules_in(root) == projects_in(root) == modules
    assert known_ports(root) == {5440, 5441}
    assert all_deployments(root) == [module / "deploy/live" for module in modules]
    assert [lies_outside(root, str(module)) for module in modules] == [None, None]
    assert [standing_in(module, root, "live") for module in modules] == [None, None]


def test_a_deployment_of_two_modules_of_one_name_needs_a_path(tmp_path: Path) -> None:
    root = workspace(tmp_path)
    modules = [root / "projects/sales", root / "pipelines/etl/sales"]
    for module in modules:
        (module / "deploy/live").mkdir(parents=True)
        (module / "deploy/live/deployment.yaml").write_text("module: [\n")
    for asked in ([], ["sales"]):
        with pytest.raises(RefusedError, match="ambiguous") as refusal:
            find(root, "live", asked)
        assert f"--module {modules[1]}" in str(refusal.value) or f"--module {modules[0]}" in str(refusal.value)
    for module in modules:
        with pytest.raises(DamagedFileError, match=str(module / "deploy/live")):
            find(root, "live", [str(module)])


def test_a_module_is_moved_to_the_first_folder_only_if_no_other_has_its_name(tmp_path: Path) -> None:
    root = workspace(tmp_path / "root")
    for name in ("sales", "freight"):
        (tmp_path / "elsewhere" / name).mkdir(parents=True)
    (root / "projects").mkdir()
    (root / "pipelines/etl/sales").mkdir(parents=True)
    with in_projects(root, tmp_path / "elsewhere/freight", move=True) as moved:
        assert moved == root / "projects/freight"
    with (
        pytest.raises(RefusedError, match="exists already"),
        in_projects(root, tmp_path / "elsewhere/sales", move=True),
    ):
        pass
    assert (tmp_path / "elsewhere/sales").is_dir()
    with in_projects(root, root / "pipelines/etl/sales", move=True) as kept:
        assert kept == root / "pipelines/etl/sales"


def with_dagster(root: Path, *folders: str) -> Path:
    file = layout_of(workspace(root, TWO, "services/dagster", *folders)).workspace_file
    file.write_text("load_from: []\n")
    return root


@pytest.mark.parametrize(
    ("into", "said"),
    [
        ("code", "write 'projects = projects, pipelines/etl, code' into "),
        ("pipelines", "write 'projects = projects, pipelines/etl, pipelines' into "),
        (".", "is not below"),
        ("..", "is not below"),
    ],
)
def test_new_goes_only_into_folders_that_are_listed(into: str, said: str, tmp_path: Path) -> None:
    root = with_dagster(tmp_path, "pipelines/etl", "code")
    with pytest.raises(RefusedError) as refusal:
        new(root, "freight", {}, into=root / into)
    assert said in str(refusal.value)
    assert list(root.rglob("freight")) == []


@pytest.mark.parametrize("taken", ["projects/freight-costs", "pipelines/etl/freight_costs"])
def test_new_refuses_a_name_that_any_folder_has(taken: str, tmp_path: Path) -> None:
    root = with_dagster(tmp_path, taken)
    for into in layout_of(root).module_folders:
        with pytest.raises(BuilderError, match=r"freight_costs|freight-costs"):
            new(root, "freight-costs", {}, into=into)
    assert [path.name for path in layout_of(root).in_module_folders()] == [Path(taken).name]
