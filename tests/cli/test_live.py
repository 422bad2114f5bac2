"""A Dagster that runs natively learns of changes at once, and its answer is passed on."""

from __future__ import annotations

import json
import shutil
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from dagster_module_builder.native import code_servers, local_dagster
from dagster_module_builder.programs import graphql
from tests import needs
from tests.cli.running_dev import running_dev
from tests.cli.terminal import Terminal
from tests.ports import free_port

pytestmark = [pytest.mark.dagster, pytest.mark.slow]

#: Two seconds for Dagster's answers, and what starting this program takes on a busy machine.
SOON = 2 + 4
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
        _list_says_what_runs(workspace, url)

        said = workspace.done("workspace.add", str(tmp_path / "broken"), "--move", "--no-check")
        assert "Warning: Dagster does not load the location broken" in said
        assert "broken on purpose" in said
        assert _listed(workspace)["broken"] == ("failed", "RuntimeError: broken on purpose", False)
        shown = workspace.done("workspace.list")
        assert "broken does not load: RuntimeError: broken on purpose\n" in shown
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
    # What Dagster stored is known after it has ended, but not what it would load.
    assert {name: told for name, told in _listed(workspace).items() if name != "broken"} == {
        "first": (None, None, True), "second": (None, None, False),
    }  # fmt: skip
    assert "Materializations are those of native runs." in workspace.run("workspace.list").stderr


def _listed(workspace: Terminal) -> dict[str, tuple[str | None, str | None, bool]]:
    """Return by module the state of its code location, why it does not load, and whether it was materialized."""
    begun = time.monotonic()
    modules = json.loads(workspace.done("workspace.list", "--json"))["modules"]
    assert time.monotonic() - begun < SOON
    return {one["name"]: (one["location"], one["location_error"], bool(one["last_materialization"])) for one in modules}


def _list_says_what_runs(workspace: Terminal, url: str) -> None:
    workspace.done("new", "outside", *SMALL, "--workspace", "no")
    assert _listed(workspace) == {
        "first": ("loaded", None, False), "second": ("loaded", None, False), "outside": (None, None, False),
    }  # fmt: skip
    before = datetime.now(timezone.utc).replace(microsecond=0)
    assert json.loads(workspace.done("workspace.materialize", "first", "--json"))["assets"]
    listed = json.loads(workspace.done("workspace.list", "--json"))
    assert listed["dagster"] == {"url": url, "note": None}
    (first,) = (one for one in listed["modules"] if one["name"] == "first")
    assert before <= datetime.fromisoformat(first["last_materialization"]) <= datetime.now(timezone.utc)
    assert workspace.run("workspace.list").stderr == ""
    shutil.rmtree(workspace.root / "projects/outside")
    _list_knows_a_location_that_dagster_has_not(workspace, url)


def _list_knows_a_location_that_dagster_has_not(workspace: Terminal, url: str) -> None:
    file = workspace.root / "services/dagster/workspace.yaml"
    text = file.read_text()
    file.write_text("load_from: []\n")
    _reload(workspace, url)
    assert {state for state, _, _ in _listed(workspace).values()} == {"not loaded"}
    file.write_text(text)
    _reload(workspace, url)
    assert {state for state, _, _ in _listed(workspace).values()} == {"loaded"}


def _reload(workspace: Terminal, url: str) -> None:
    """Reload as soon as the code servers have read the changed file."""
    code_servers.await_served(workspace.root, local_dagster.prepare(workspace.root).workspace)
    graphql.reload_workspace(url)


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
