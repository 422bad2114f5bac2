"""A Dagster that runs natively learns of changes at once, and its answer is passed on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dagster_module_builder.programs import graphql
from tests import needs
from tests.cli.running_dev import running_dev
from tests.cli.terminal import Terminal
from tests.ports import free_port

pytestmark = [pytest.mark.dagster, pytest.mark.slow]

SMALL = ("--starter", "empty", "--governance", "quick", "--database", "none")


def test_a_running_dagster_takes_changes_in(workspace: Terminal, tmp_path: Path) -> None:
    needs.registry()
    workspace.environment["UV_CACHE_DIR"] = str(Path.home() / ".cache/uv")
    for name in ("first", "second", "broken"):
        workspace.done("new", name, *SMALL)
    shutil.move(workspace.root / "projects/broken", tmp_path / "broken")
    workspace.done("workspace.add", "first", "--no-check")
    code = tmp_path / "broken/src/broken_dagster/definitions.py"
    code.write_text(code.read_text() + "raise RuntimeError('broken on purpose')\n")
    port = free_port()
    with running_dev(workspace, port, "--port", str(port)) as url:
        said = workspace.done("workspace.add", "second", "--no-check")
        assert "Dagster loaded the location second." in said
        assert "Dagster's daemon reads the change within a minute" in said
        assert graphql.location_states(url) == {"first": None, "second": None}

        _sync_brings_changed_code(workspace)

        said = workspace.done("workspace.add", str(tmp_path / "broken"), "--move", "--no-check")
        assert "Warning: Dagster does not load the location broken" in said
        assert "broken on purpose" in said
        said = workspace.done("workspace.remove", "broken")
        assert "Dagster removed the location broken." in said

        other = Terminal(
            tmp_path / "other", {**workspace.environment, "DAGSTER_WORKSPACE": str(tmp_path / "other")}, tmp_path
        )
        other.done("workspace.init", "--port", str(port))
        other.done("new", "stranger", *SMALL)
        said = other.done("workspace.add", "stranger", "--no-check")
        assert f"The Dagster at {url} is not this workspace's, and was not asked to load the change." in said
        assert f"Its instance is {workspace.root}/.native/home" in said
        assert graphql.location_states(url) == {"first": None, "second": None}
    assert "Dagster" not in workspace.done("workspace.remove", "second").partition("\n")[2]


def _sync_brings_changed_code(workspace: Terminal) -> None:
    """FAULTS C10: `sync` has Dagster load what changed since it was loaded, and nothing else."""
    assert "Dagster reloaded" not in workspace.done("workspace.sync", "--no-check")
    code = workspace.root / "projects/first/src/first_dagster/assets.py"
    code.write_text(code.read_text() + "\nCHANGED = True\n")
    would = "The code of first changed since the running Dagster loaded it. Reload it with 'workspace.sync'."
    assert would in workspace.done("workspace.sync", "--check")
    assert would in workspace.done("workspace.sync", "--dry-run", "--no-check")
    said = workspace.done("workspace.sync", "--no-check")
    assert "Dagster reloaded the location first with its changed code." in said
    assert "the location second" not in said
    assert "Dagster reloaded" not in workspace.done("workspace.sync", "--no-check")
