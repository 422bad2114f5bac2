"""Runs that hang end, and runs that were killed free their pools: every ``dagster.yaml`` that is written says so."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.deploy.hosts import host_service
from dagster_module_builder.native import native_environment
from dagster_module_builder.workspaces import run_limits
from dagster_module_builder.workspaces.initialize import initialize
from dagster_module_builder.workspaces.sync import sync
from dagster_module_builder.workspaces.workspace import read_workspace
from tests import needs

LIMITS = {"enabled": True, "max_runtime_seconds": 86400, "free_slots_after_run_end_seconds": 300}
BEFORE = b"run_monitoring:\n  enabled: true\n"


def file_of(root: Path) -> Path:
    return root / "services/dagster/dagster.yaml"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    initialize(tmp_path / "w")
    # The registry's first writing is no part of this.
    sync(tmp_path / "w")
    return tmp_path / "w"


def test_all_files_that_are_written_have_the_limits(root: Path) -> None:
    native_environment.make_private_folder(root)
    native_environment._make_home(root)
    for text in (file_of(root).read_text(), (root / native_environment.HOME / "dagster.yaml").read_text()):
        assert yaml.safe_load(text)["run_monitoring"] == LIMITS
    assert host_service._SETTINGS["run_monitoring"] == LIMITS
    assert run_limits.lacking(read_workspace(root)) == []


@pytest.mark.dagster
@pytest.mark.slow
def test_dagster_takes_them(root: Path) -> None:
    needs.registry()
    python = native_environment.shared_environment(root)
    code = (
        "from dagster import DagsterInstance\n"
        "with DagsterInstance.get() as instance:\n"
        "    settings = instance.run_monitoring_settings\n"
        "    print(instance.run_monitoring_max_runtime_seconds, settings['free_slots_after_run_end_seconds'])\n"
    )
    environ = native_environment.process_environment(root)
    said = subprocess.run([python, "-c", code], env=environ, check=True, capture_output=True, text=True).stdout
    assert said.split() == ["86400", "300"]


def test_a_workspace_of_an_earlier_version_gets_them_by_one_sync(root: Path) -> None:
    now = file_of(root).read_bytes()
    head, _, tail = now.partition(run_limits._NOW)
    file_of(root).write_bytes(head + BEFORE + tail)
    assert run_limits.lacking(read_workspace(root)) == list(run_limits.SETTINGS)
    planned = sync(root, dry_run=True)
    assert [change.path for change in planned.outcome.plan.effective] == [file_of(root)]
    assert file_of(root).read_bytes() == head + BEFORE + tail
    done = sync(root)
    assert file_of(root).read_bytes() == now
    assert any("Restart Dagster" in note for note in done.outcome.notes)
    assert sync(root).outcome.plan.effective == ()


@pytest.mark.parametrize(
    "edited",
    [
        BEFORE + b"  poll_interval_seconds: 60\n",
        b"run_monitoring:\n  enabled: false\n",
        b"run_monitoring: {enabled: true}\n",
        b"",
    ],
)
def test_lines_that_a_person_wrote_stay(root: Path, edited: bytes) -> None:
    head, _, tail = file_of(root).read_bytes().partition(run_limits._NOW)
    file_of(root).write_bytes(head + edited + tail)
    assert sync(root).outcome.plan.effective == ()
    assert run_limits.lacking(read_workspace(root)) == list(run_limits.SETTINGS)


def test_a_file_of_others_is_theirs(root: Path) -> None:
    file_of(root).write_bytes(b"# Ours.\n" + BEFORE)
    assert sync(root).outcome.plan.effective == ()


def test_the_native_instance_of_an_earlier_version_gets_them_and_one_that_was_edited_stays(root: Path) -> None:
    native_environment._make_home(root)
    file = root / native_environment.HOME / "dagster.yaml"
    now = file.read_text()
    file.write_text(native_environment._FORMER_INSTANCE)
    native_environment._make_home(root)
    assert file.read_text() == now
    file.write_text("telemetry: {enabled: true}\n")
    native_environment._make_home(root)
    assert file.read_text() == "telemetry: {enabled: true}\n"
