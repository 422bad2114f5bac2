"""Repositories as they lie: adopted, given modules and cleared of them, without a change of what they run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.base.layout import FILE, layout_of
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.adopt import adopt, look_through
from dagster_module_builder.workspaces.release import release
from dagster_module_builder.workspaces.remove import remove_module
from dagster_module_builder.workspaces.sync import sync
from dagster_module_builder.workspaces.workspace import read_workspace
from tests.adoption.adopted import adopted, bytes_of, found, laid_out, resolved
from tests.adoption.cases import Case, cases
from tests.corpus.workspaces import Modules

MODULES = ("sales-report", "notes")
ADOPTABLE = [case for case in cases() if case.expected["adoptable"]]
TAKING = [case for case in ADOPTABLE if not case.expected.get("not_added")]
PROPOSED = [case for case in ADOPTABLE if "proposed_path" in case.expected]
WITH_COMPOSE = [case for case in TAKING if case.expected["kind"] == "compose"]
OTHERS = [case for case in cases() if not case.expected["adoptable"]]


def by_name(case: Case) -> str:
    return case.name


def with_modules(case: Case, folder: Path, modules: Modules) -> Path:
    root = laid_out(case, folder)
    for name in MODULES:
        shutil.copytree(modules.folders[name], root / "projects" / name)
    return root


def put(root: Path) -> None:
    for name in MODULES:
        add_module(root, name)


@pytest.mark.parametrize("case", ADOPTABLE, ids=by_name)
def test_adopting_makes_one_file_and_undo_takes_it_back(case: Case, tmp_path: Path) -> None:
    root = laid_out(case, tmp_path)
    before = bytes_of(root)
    adoption = adopted(case, root)
    layout = layout_of(root)
    key = "dg-file" if layout.is_dg else "workspace-file"
    assert f"+{key} = {layout.workspace_file.relative_to(root)}" in adoption.plan.diff()
    proposed = adoption.survey.proposed_path
    assert set(bytes_of(root)) == {*before, FILE, *([str(proposed)] if proposed else [])}
    changed = {name for name, text in before.items() if bytes_of(root)[name] != text}
    assert bool(changed) == bool(adoption.survey.command_changes)
    assert not found(case, root).is_new
    assert {path.relative_to(root).as_posix() for path in release(root).restored} == changed
    assert bytes_of(root) == before
    assert sorted(path.name for path in root.iterdir()) == sorted(path.name for path in case.tree.iterdir())


@pytest.mark.parametrize("case", PROPOSED, ids=by_name)
def test_a_workspace_file_is_shown_before_it_is_made(case: Case, tmp_path: Path) -> None:
    root = laid_out(case, tmp_path)
    before = bytes_of(root)
    with pytest.raises(BuilderError, match="--write-workspace-file") as refusal:
        adopt(found(case, root, write_workspace_file=False))
    assert f"+++ {root / case.expected['proposed_path']}" in str(refusal.value)
    assert bytes_of(root) == before


@pytest.mark.parametrize("case", TAKING, ids=by_name)
def test_modules_come_and_go_byte_for_byte(case: Case, tmp_path: Path, modules: Modules) -> None:
    root = with_modules(case, tmp_path, modules)
    adopted(case, root)
    before = bytes_of(root, "projects")
    put(root)
    assert bytes_of(root, "projects") != before
    assert not sync(root, dry_run=True).outcome.plan.effective
    for name in MODULES:
        remove_module(root, name)
    assert bytes_of(root, "projects") == before
    stack = read_workspace(root).stack
    done = release(root)
    assert [path for path in done.removed if path.exists()] == []
    assert case.expected["kind"] == "native" or f"volume {stack.project}_sales_report_db_data" in done.left_behind


@pytest.mark.parametrize("case", WITH_COMPOSE, ids=by_name)
def test_compose_reads_the_same_values_of_the_owner(
    case: Case, tmp_path: Path, modules: Modules, compose: Path
) -> None:
    root = with_modules(case, tmp_path, modules)
    adoption = adopted(case, root)
    before = resolved(compose, adoption, root)
    put(root)
    after = resolved(compose, adoption, root)
    for section in ("services", "volumes", "networks", "configs", "secrets"):
        for name, entry in before.get(section, {}).items():
            assert kept(entry, after[section][name]) == [], f"{section}.{name}"


@pytest.mark.parametrize("case", [case for case in PROPOSED if case in WITH_COMPOSE], ids=by_name)
def test_where_commands_change_compose_reads_the_same_of_everything_else(
    case: Case, tmp_path: Path, compose: Path
) -> None:
    root = laid_out(case, tmp_path)
    before = resolved(compose, found(case, root), root)
    adoption = adopted(case, root)
    after = resolved(compose, adoption, root)
    for name, service in after["services"].items():
        own = {key: value for key, value in service.items() if key not in {"command", "entrypoint", "volumes"}}
        assert own == {key: before["services"][name].get(key) for key in own}
        mounts = [mount for mount in service.get("volumes", ()) if mount["target"] != adoption.survey.proposed_mount]
        assert mounts == before["services"][name].get("volumes", [])
        if not next((one.loads_code for one in adoption.survey.services if one.name == name), False):
            assert service == before["services"][name]
    assert {key: value for key, value in after.items() if key != "services"} == {
        key: value for key, value in before.items() if key != "services"
    }
    read = found(case, root).survey
    assert [one.workspace.path if one.workspace else None for one in read.services if one.loads_code] == [
        adoption.survey.proposed_path for one in read.services if one.loads_code
    ]


def test_enough_of_the_cases_name_their_code_in_commands() -> None:
    assert len([case for case in PROPOSED if case in WITH_COMPOSE]) >= 10


def kept(before: Any, after: Any, path: str = "") -> list[str]:
    """Return the values that are not as they were; entries may have been added."""
    if isinstance(before, dict):
        changed = [kept(value, (after or {}).get(key), f"{path}.{key}") for key, value in before.items()]
        return [each for some in changed for each in some]
    if isinstance(before, list) and isinstance(after, list):
        return [f"{path}: {item}" for item in before if item not in after]
    return [] if before == after else [f"{path}: {before} became {after}"]


@pytest.mark.parametrize("case", [case for case in ADOPTABLE if case not in TAKING], ids=by_name)
def test_a_workspace_that_can_take_no_module_says_why(case: Case, tmp_path: Path, modules: Modules) -> None:
    root = with_modules(case, tmp_path, modules)
    adopted(case, root)
    before = bytes_of(root)
    with pytest.raises(BuilderError) as refusal:
        add_module(root, "sales-report")
    assert case.expected["not_added"] in str(refusal.value)
    assert bytes_of(root) == before


@pytest.mark.parametrize("case", OTHERS, ids=by_name)
def test_what_cannot_be_adopted_stays_as_it_is(case: Case, tmp_path: Path) -> None:
    root = laid_out(case, tmp_path)
    before = bytes_of(root)
    with pytest.raises(BuilderError) as refusal:
        adopt(look_through(root))
    assert bytes_of(root) == before
    places = [place for place in case.expected.get("refused_at", ()) if place != "None"]
    assert [place for place in places if place not in str(refusal.value)] == []


@pytest.mark.parametrize("case", WITH_COMPOSE[:1], ids=by_name)
def test_the_file_in_the_root_is_what_tasks_go_by(case: Case, tmp_path: Path, modules: Modules) -> None:
    root = with_modules(case, tmp_path, modules)
    adopted(case, root)
    path = root / FILE
    path.write_bytes(path.read_bytes().replace(b"projects = projects", b"projects = code/modules"))
    shutil.move(root / "projects", root / "code/modules")
    put(root)
    assert layout_of(root).new_modules == root / "code/modules"
    assert b"code/modules/sales-report" in layout_of(root).compose_file.read_bytes()
