"""Repositories in which something is not as it should be, or of which there is much: a survey answers all the same."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dagster_module_builder.adoption.report import rows, to_json
from dagster_module_builder.adoption.survey import survey
from tests.adoption.cases import CASES, TREE

ODD: tuple[Any, ...] = (None, "x", 7, True, [], {}, ["a"], [[None]], {"a": 1}, [{"a": [1]}], "${A", "::")
FILES = {
    "tags-of-compose": "compose.yml",
    "extends-another-file": "docker-compose.yml",
    "include-of-a-folder": "orchestra/compose.yaml",
    "prebuilt-by-variables": "docker-compose.yml",
    "celery-launcher-all-built": "workspace.yaml",
    "official-topology": "dagster.yaml",
}
SECONDS = 2


def places(data: Any, keys: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield keys
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from places(value, (*keys, key))


def replaced(data: Any, keys: tuple[Any, ...], value: Any) -> Any:
    if not keys:
        return value
    changed = data.copy()
    changed[keys[0]] = replaced(data[keys[0]], keys[1:], value)
    return changed


@pytest.mark.parametrize(("case", "name"), FILES.items(), ids=FILES)
def test_a_value_of_another_shape_is_no_crash(case: str, name: str, tmp_path: Path) -> None:
    root = tmp_path / "repository"
    shutil.copytree(CASES / case / TREE, root)
    data = yaml.safe_load((root / name).read_text())
    for keys in places(data):
        for value in ODD:
            (root / name).write_text(yaml.safe_dump(replaced(data, keys, value)))
            found = survey(root)
            assert rows(found) or found.refusals
            assert to_json(found)


def test_five_thousand_files_are_looked_through_in_two_seconds(tmp_path: Path) -> None:
    shutil.copytree(CASES / "official-topology" / TREE, tmp_path, dirs_exist_ok=True)
    for number in range(5000):
        folder = tmp_path / f"part{number % 100}" / f"sub{number % 7}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file{number}.{('py', 'yaml', 'sql', 'md')[number % 4]}").write_text("name: dagster\n")
    began = time.perf_counter()
    found = survey(tmp_path)
    assert time.perf_counter() - began < SECONDS
    assert found.is_adoptable


def test_folders_of_other_people_are_passed_by(tmp_path: Path) -> None:
    for folder in ("node_modules/flow", ".venv", "venv", "vendor/flow", "tests/flow", ".git"):
        shutil.copytree(CASES / "official-topology" / TREE, tmp_path / folder)
    made = tmp_path / "own-environment"
    shutil.copytree(CASES / "official-topology" / TREE, made)
    (made / "pyvenv.cfg").write_text("")
    found = survey(tmp_path)
    assert found.kind is None
    assert [refusal.place for refusal in found.refusals] == [None]


def test_a_link_out_of_the_repository_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.yml"
    elsewhere.write_text("services:\n  secret:\n    command: dagster dev -m stolen\n")
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "docker-compose.yml").symlink_to(elsewhere)
    assert survey(tmp_path / "repository").services == ()


def test_a_repository_is_found_by_a_relative_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES)
    found = survey(Path("official-topology/../official-topology") / TREE)
    assert found.repository == CASES / "official-topology" / TREE
    assert found.is_adoptable


def test_a_survey_writes_nothing(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    shutil.copytree(CASES / "include-of-a-folder" / TREE, root)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    survey(root)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_answers_that_fit_nothing_are_refused(tmp_path: Path) -> None:
    shutil.copytree(CASES / "official-topology" / TREE, tmp_path / "repository")
    root = tmp_path / "repository"
    gone = survey(root, workspace_file=Path("gone.yaml"))
    assert [str(refusal) for refusal in gone.refusals] == ["gone.yaml: This file does not exist. Name another one."]
    (root / "other.yaml").write_text("load_from: []\n")
    unread = survey(root, workspace_file=Path("other.yaml"))
    assert [str(each) for each in unread.refusals] == [
        "other.yaml: No service reads this file. They read workspace.yaml."
    ]
    missing = survey(root, [Path("gone.yml")])
    assert "missing or cannot be read" in str(missing.refusals[0])
    stranger = survey(root, roles={"stranger": ("dev",)})
    assert "No service is named stranger. --role takes one of: ledger_store, ledger_code," in str(stranger.refusals[0])
    (root / "other.yml").write_text("services:\n  tables:\n    image: postgres\n")
    assert [str(refusal.place) for refusal in survey(root, [Path("other.yml")]).refusals] == ["other.yml"]


def test_the_repository_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(CASES / "official-topology" / TREE)
    assert survey(tmp_path / "link").is_adoptable


def test_secrets_of_command_lines_are_not_shown() -> None:
    found = survey(CASES / "program-of-an-environment" / TREE)
    assert "--api-token=abc" in found.services[0].command
    assert "abc" not in str(to_json(found))
    assert "abc" not in str(rows(found))


def test_choices_are_what_the_flag_takes() -> None:
    (asked,) = survey(CASES / "two-projects" / TREE).questions
    assert (asked.flag, asked.choices) == (
        "--compose-file",
        ("docker-compose.flow-test.yml", "docker-compose.flow.yml"),
    )
