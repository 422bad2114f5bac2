"""The demo, for real: uv makes the environment, Dagster materializes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from dagster_module_builder.commands import task_output
from dagster_module_builder.commands.demo import _sum_up
from dagster_module_builder.demo import DemoResult
from dagster_module_builder.disclosure import messages
from dagster_module_builder.native import local_dagster, native_environment
from dagster_module_builder.native.local_dagster import Materialized, MaterializeResult
from tests import json_outputs, needs
from tests.cli.terminal import Terminal


@pytest.mark.dagster
def test_the_demo_does_the_main_job_and_leaves_nothing(terminal: Terminal, tmp_path: Path) -> None:
    needs.registry()
    # The path of a socket in it would be too long (unix(7)).
    (temporary := tmp_path / "t".ljust(85 - len(str(tmp_path)), "t")).mkdir()
    terminal.environment["TMPDIR"] = str(temporary)
    terminal.environment["UV_CACHE_DIR"] = str(Path.home() / ".cache/uv")
    result = terminal.run("demo")
    assert result.returncode == 0, result.stderr
    assert "penguins/summary" in result.stdout
    assert "passed" in result.stdout
    assert "workspace.dev" in result.stdout
    assert "http://127.0.0.1:3" in result.stdout
    assert "[7/7] remove" in result.stderr
    assert re.search(r"The first asset was in Dagster's page after \d+ s\.\n", result.stdout)
    assert list(temporary.iterdir()) == []
    assert [path.name for path in Path(terminal.environment["HOME"]).iterdir() if path.name != ".cache"] == []


def test_what_the_demo_did_is_for_programs_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other tests of this process have read secrets that are words.
    monkeypatch.setattr(messages, "_secrets", set())
    materialized = MaterializeResult((Materialized("penguins/raw", 344, "/data/raw"),), ())
    result = DemoResult(Path("/tmp/demo"), 40, 4, materialized, 21.04)
    for installed, from_clone in ((None, None), (9.0, 30.0)):
        with task_output.of_task("demo", as_json=True, quiet=False, root=None):
            _sum_up(result, 23.0, installed, keep=False)
        out = capsys.readouterr().out
        json_outputs.check(["demo", "--json"], out)
        assert (json.loads(out)["seconds_to_page"], json.loads(out)["seconds_from_clone"]) == (21.0, from_clone)


@pytest.mark.dagster
def test_an_integrated_workspace_loads_in_dagster(workspace: Terminal) -> None:
    needs.registry()
    workspace.environment["UV_CACHE_DIR"] = str(Path.home() / ".cache/uv")
    workspace.done("new", "sales", "--database", "postgresql", "--governance", "enterprise", "--workspace", "yes")
    workspace.done("new", "other", "--database", "none", "--code-server", "own", "--workspace", "yes")
    assert workspace.done("workspace.validate", "--load").strip() == "No problems found."
    prepared = local_dagster.prepare(workspace.root)
    dagster = [prepared.python.with_name("dagster"), "definitions", "validate", "-w", prepared.workspace]
    environ = native_environment.process_environment(workspace.root)
    subprocess.run(dagster, cwd=workspace.root / "services/dagster", env=environ, check=True)
    broken = workspace.root / "projects/sales/src/sales_dagster/assets.py"
    broken.write_text(broken.read_text() + "\nraise RuntimeError('broken on purpose')\n")
    (found,) = json.loads(workspace.run("workspace.validate", "--load", "--json").stdout)["findings"]
    assert found["where"] == f"{broken}:{len(broken.read_text().splitlines())}"
    assert "the location sales does not load: RuntimeError: broken on purpose" in found["message"]
    assert found["command"] == "workspace.remove sales"


@pytest.mark.dagster
def test_requirements_that_do_not_fit_together_are_refused_by_name(workspace: Terminal) -> None:
    needs.registry()
    workspace.environment["UV_CACHE_DIR"] = str(Path.home() / ".cache/uv")
    for name, wanted in (("one", "attrs==23.1.0"), ("two", "attrs==25.3.0")):
        workspace.done("new", name, "--starter", "empty", "--governance", "quick")
        project = workspace.root / "projects" / name / "pyproject.toml"
        project.write_text(project.read_text().replace("dependencies = [", f'dependencies = [\n    "{wanted}",', 1))
    lock = workspace.root / "services/dagster/constraints.txt"
    lock.write_text(
        "".join(line for line in lock.read_text().splitlines(keepends=True) if not line.startswith("attrs=="))
    )
    workspace.done("workspace.add", "one")
    before = workspace.shared_files()
    said = workspace.refused("workspace.add", "two")
    assert "one and two" in said
    assert "attrs==23.1.0" in said
    assert workspace.shared_files() == before


@pytest.mark.dagster
def test_an_asset_that_two_modules_make_is_found(workspace: Terminal) -> None:
    needs.registry()
    workspace.environment["UV_CACHE_DIR"] = str(Path.home() / ".cache/uv")
    for name in ("one", "two"):
        workspace.done("new", name, "--starter", "empty", "--governance", "quick", "--workspace", "yes")
    package = workspace.root / "projects/two/src/two_dagster"
    for file in package.glob("*.py"):
        file.write_text(file.read_text().replace('"two"', '"one"'))
    result = workspace.run("workspace.validate", "--load", "--no-check")
    assert result.returncode == 1
    assert "is made by one and two" in result.stdout
