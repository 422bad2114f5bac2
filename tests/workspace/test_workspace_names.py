"""Workspaces of earlier versions, all with one network and port, get what is theirs alone, and the way back."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import yaml

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.shared_files.formats import env_file
from dagster_module_builder.templating.rendering import render
from dagster_module_builder.templating.template_folders import WORKSPACE_TEMPLATE
from dagster_module_builder.workspaces import neighbours, workspace_names
from dagster_module_builder.workspaces.initialize import initialize
from dagster_module_builder.workspaces.restore import restore
from dagster_module_builder.workspaces.sync import sync
from tests.edits import edit
from tests.engine.folders import COMPOSE, make_workspace, shared

if TYPE_CHECKING:
    from pathlib import Path

SERVICES = "services/dagster"


def earlier(root: Path, **answers: str) -> Path:
    """Make a workspace as version 1.0.0 did: network and port were alike everywhere, and no list was kept."""
    given = {"project": root.name, "network": "workspace-net", "port": "3000", **answers}
    root.parent.mkdir(exist_ok=True)
    made = render(WORKSPACE_TEMPLATE, {"name": root.name, **given}, root.parent)
    assert made == root
    return root


def env(root: Path) -> dict[str, str]:
    return env_file.values((root / SERVICES / ".env").read_bytes())


def tree(root: Path) -> dict[str, bytes]:
    backups = root / SERVICES / "modules"
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and backups not in path.parents
    }


@pytest.fixture
def no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that has neither volumes nor containers of any project; a real one has what others made."""
    monkeypatch.setattr(workspace_names.engine, "volume_keys", lambda _project: [])
    monkeypatch.setattr(workspace_names.engine, "folders_of_containers", lambda _project: {})


def test_sync_gives_a_workspace_of_an_earlier_version_what_is_its_own_and_restore_takes_it_back(
    tmp_path: Path,
) -> None:
    """FAULTS E1: the second of two old workspaces gets a network and a port, and its project stays."""
    first, second = earlier(tmp_path / "a"), earlier(tmp_path / "b", run_launcher="docker")
    before = tree(second)
    sync(first)
    plan = sync(second, dry_run=True).outcome.plan
    assert tree(second) == before
    assert "+WORKSPACE_NETWORK='b-net'" in plan.diff()

    outcome = sync(second).outcome

    assert (env(first)["WORKSPACE_NETWORK"], env(first)["DAGSTER_PORT"]) == ("a-net", "3000")
    assert env(second)["COMPOSE_PROJECT_NAME"] == "b"
    assert env(second)["WORKSPACE_NETWORK"] == "b-net"
    assert int(env(second)["DAGSTER_PORT"]) > 3000
    launcher = yaml.safe_load((second / SERVICES / "dagster.yaml").read_text())["run_launcher"]["config"]
    assert (launcher["network"], launcher["image"]) == ("b-net", "b-dagster")
    assert [note for note in outcome.notes if "'workspace-net'" in note]
    assert [note for note in outcome.notes if "workspace.up" in note]
    assert not sync(second).outcome.plan.effective

    assert outcome.backup
    restore(second, outcome.backup)
    assert tree(second) == before


def test_a_workspace_made_today_keeps_its_names(tmp_path: Path) -> None:
    """FAULTS E1: what is the project's own already is left alone."""
    for folder in ("a", "b"):
        initialize(root := tmp_path / folder / "workspace")
        assert not [change for change in sync(root).outcome.plan.effective if change.path.name == ".env"]


def test_names_in_a_workspace_that_the_template_did_not_make_are_its_owners(tmp_path: Path, no_data: None) -> None:
    """Its port and project stay as they are, also where another workspace has the same."""
    sync(earlier(tmp_path / "a"))
    lines = b"DAGSTER_PORT='3000'\nCOMPOSE_PROJECT_NAME='a'\n"
    theirs = make_workspace(tmp_path / "b", env=lines, compose=b"name: ${COMPOSE_PROJECT_NAME}\n" + COMPOSE)
    before = shared(theirs)
    assert sync(theirs).outcome.notes == ()
    assert shared(theirs) == before


@pytest.mark.parametrize(
    ("file", "before", "after", "named"),
    [
        (".env", "WORKSPACE_NETWORK='workspace-net'", "WORKSPACE_NETWORK=workspace-net", "WORKSPACE_NETWORK='b-net'"),
        ("dagster.yaml", '    network: "workspace-net"', "    network: workspace-net", "WORKSPACE_NETWORK='b-net'"),
        (".env", "DAGSTER_PORT='3000'", "DAGSTER_PORT=3000", "DAGSTER_PORT='30"),
        (".env", "DAGSTER_PORT='3000'", "DAGSTER_PORT='4000'", None),
        (".env", "WORKSPACE_NETWORK='workspace-net'", "WORKSPACE_NETWORK='ours'", None),
        ("docker-compose.yml", "    name: ${WORKSPACE_NETWORK}", "    external: true", None),
    ],
)
def test_edited_lines_are_named_and_stay(tmp_path: Path, file: str, before: str, after: str, named: str | None) -> None:
    """FAULTS E1: a line that a person wrote is theirs; where it still collides, it is named with its cure."""
    sync(earlier(tmp_path / "a"))
    root = earlier(tmp_path / "b", run_launcher="docker")
    edit(root / SERVICES / file, before, after)

    notes = sync(root).outcome.notes

    assert (root / SERVICES / file).read_text().count(after) == 1
    warnings = [note for note in notes if note.startswith("Warning")]
    assert bool(warnings) == bool(named)
    assert all(named and named in note for note in warnings)


def test_a_project_without_data_is_renamed(tmp_path: Path, no_data: None) -> None:
    """FAULTS E1: two old workspaces of one folder name had one project, image and volumes."""
    sync(earlier(tmp_path / "1" / "ws"))
    root = earlier(tmp_path / "2" / "ws", run_launcher="docker")
    sync(root)
    assert (env(root)["COMPOSE_PROJECT_NAME"], env(root)["WORKSPACE_NETWORK"]) == ("ws-2", "ws-2-net")
    launcher = yaml.safe_load((root / SERVICES / "dagster.yaml").read_text())["run_launcher"]["config"]
    assert launcher["image"] == "ws-2-dagster"
    assert {"ws-2_dagster_home", "ws-2_dagster_storage"} < set(launcher["container_kwargs"]["volumes"])


@pytest.mark.parametrize("found", ["volume", "container", "no answer"])
def test_a_project_that_has_data_keeps_its_name(tmp_path: Path, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS E1: volumes carry the project's name, so it stays where there are any, or where that is not known."""

    def no_answer(_project: str) -> list[str]:
        raise ToolError("no engine")

    volumes = no_answer if found == "no answer" else lambda _project: ["dagster_home"] * (found == "volume")
    monkeypatch.setattr(workspace_names.engine, "volume_keys", volumes)
    monkeypatch.setattr(workspace_names.engine, "folders_of_containers", lambda _project: {"ws-1": "/x"})
    sync(earlier(tmp_path / "1" / "ws"))
    root = earlier(tmp_path / "2" / "ws")

    notes = sync(root).outcome.notes

    assert env(root)["COMPOSE_PROJECT_NAME"] == "ws"
    assert [note for note in notes if "Compose project 'ws'" in note and "COMPOSE_PROJECT_NAME='ws-2'" in note]
    assert env(root)["WORKSPACE_NETWORK"] == "ws-net-2"


def test_a_workspace_behind_a_link_is_not_its_own_neighbour(tmp_path: Path) -> None:
    """FAULTS E1: one workspace that is reached by two paths takes nothing from itself."""
    root = earlier(tmp_path / "a")
    (tmp_path / "link").symlink_to(root)
    sync(root)
    assert not sync(tmp_path / "link").outcome.plan.effective


def test_a_vanished_workspace_keeps_nothing_from_others(tmp_path: Path) -> None:
    """FAULTS E1: what a workspace had that is gone is free again."""
    sync(earlier(tmp_path / "a"))
    shutil.rmtree(tmp_path / "a")
    sync(root := earlier(tmp_path / "b"))
    assert env(root)["DAGSTER_PORT"] == "3000"
    assert neighbours.taken("DAGSTER_PORT", tmp_path) == {"3000"}
