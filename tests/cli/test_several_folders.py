"""A workspace whose modules are in two folders, on the command line: every task finds those in the second one."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from dagster_module_builder.base.settings import LAYOUT_FILE
from tests.cli.terminal import Terminal, copied, everything_in, terminal_in

FOLDER = "pipelines/etl"
MODULE = f"{FOLDER}/freight"


@pytest.fixture(scope="module")
def with_freight(made: Terminal, tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    terminal = copied(made, terminal_in(tmp_path_factory.mktemp("freight")))
    path = terminal.root / LAYOUT_FILE
    text = path.read_text()
    assert "projects = projects\n" in text
    path.write_text(text.replace("projects = projects\n", f"projects = projects, {FOLDER}\n"))
    terminal.done("new", "sales", "--starter", "empty", "--workspace", "no", "--deployment", "no", "--no-input")
    flags = ["--database", "postgresql", "--workspace", "no", "--deployment", "no", "--no-input"]
    terminal.done("new", "freight", "--into", str(terminal.root / FOLDER), *flags)
    return terminal


@pytest.fixture
def freight(terminal: Terminal, with_freight: Terminal) -> Terminal:
    """A workspace with modules in two folders, none of which is added."""
    return copied(with_freight, terminal)


def listed_by(terminal: Terminal) -> list[dict[str, Any]]:
    modules: list[dict[str, Any]] = json.loads(terminal.done("workspace.list", "--json"))["modules"]
    return modules


def test_a_module_is_made_in_the_folder_that_is_asked_for(freight: Terminal) -> None:
    assert (freight.root / MODULE / "pyproject.toml").is_file()
    assert [path.name for path in (freight.root / "projects").iterdir() if path.is_dir()] == ["sales"]
    below = Terminal(freight.root, freight.environment, freight.root / "pipelines")
    below.done("new", "tides", "--into", "etl", "--starter", "empty", "--workspace", "no", "--no-input")
    assert (freight.root / FOLDER / "tides").is_dir()


def test_a_folder_that_is_not_listed_is_refused_with_the_line_to_write(freight: Terminal) -> None:
    before = everything_in(freight.root)
    said = freight.refused("new", "tides", "--into", str(freight.root / "code"), "--no-input")
    assert f"write 'projects = projects, {FOLDER}, code' into {freight.root / LAYOUT_FILE}" in said
    assert everything_in(freight.root) == before


def test_a_module_in_the_second_folder_comes_and_goes_byte_for_byte(freight: Terminal) -> None:
    before = freight.shared_files()
    freight.done("workspace.add", "freight", "--no-check")
    files = freight.shared_files()
    assert b"working_directory: ../../pipelines/etl/freight/src" in files["workspace.yaml"]
    assert b"../../pipelines/etl/freight/workspace/local/schema.sql:" in files["docker-compose.yml"]
    assert b"/workspace/pipelines/etl/freight/src" in files["Dockerfile"]
    assert b"projects/freight" not in b"".join(files.values())
    assert "No problems found" in freight.done("workspace.validate")
    freight.done("workspace.remove", "freight")
    assert freight.shared_files() == before


def test_sync_takes_the_modules_of_both_folders_and_follows_one_that_was_moved(freight: Terminal) -> None:
    freight.done("workspace.sync", "--no-check")
    files = freight.shared_files()
    listed = {each["name"]: each for each in listed_by(freight)}
    assert {name: (each["path"], each["integrated"]) for name, each in listed.items()} == {
        "freight": (MODULE, True),
        "sales": ("projects/sales", True),
    }
    for moved, back in ((MODULE, "projects/freight"), ("projects/freight", MODULE)):
        shutil.move(freight.root / moved, freight.root / back)
        freight.done("workspace.sync", "--prune", "--no-check")
        said = listed_by(freight)
        assert [(each["path"], each["missing"]) for each in said if each["name"] == "freight"] == [(back, False)]
    assert freight.shared_files() == files


def test_audit_and_upgrade_find_it(freight: Terminal) -> None:
    assert "Audit Results for: freight" in freight.done("audit", "freight")
    every = freight.run("audit", "--all").stdout
    assert "freight" in every
    assert "sales" in every
    assert freight.done("upgrade", "freight", "--check").strip() == "freight is up to date"


def test_a_deployment_of_it_is_made_and_found(freight: Terminal) -> None:
    flags = ["--client=A", "--hosts=a.example.org", "--user=a", "--base-path=/srv/a", "--strategy=rsync", "--no-input"]
    freight.done("configure-deployment", "freight", "--deployment=live", *flags)
    assert (freight.root / MODULE / "deploy/live/deployment.yaml").is_file()
    assert "freight" in freight.done("deploy.list")


def test_what_two_folders_have_is_refused_with_both(freight: Terminal) -> None:
    freight.done("workspace.add", "freight", "--no-check")
    shutil.copytree(freight.root / MODULE, freight.root / "projects/freight")
    before = freight.shared_files()
    both = [str(freight.root / MODULE), str(freight.root / "projects/freight")]
    for task in (["workspace.sync"], ["audit", "freight"], ["upgrade", "freight"], ["workspace.add", "freight"]):
        said = freight.refused(*task)
        assert [path for path in both if path not in said] == []
    listed = listed_by(freight)
    assert [(each["path"], each["integrated"]) for each in listed if each["name"] == "freight"] == [
        (MODULE, True),
        ("projects/freight", False),
    ]
    assert freight.shared_files() == before
