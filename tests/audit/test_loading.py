"""The checks that load a module and run its tests, with real Dagster, whoever made the module."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from dagster_module_builder.audit.results import Audit
from dagster_module_builder.audit.run import AuditOptions, audit
from dagster_module_builder.programs import uv_program
from dagster_module_builder.upgrade.run import upgrade
from tests.audit.findings import messages, result
from tests.audit.projects import OTHERS, SCAFFOLD, write
from tests.template import environment

pytestmark = pytest.mark.dagster

LOADING = ("loads", "keys-loaded", "io-manager-loaded")


@pytest.fixture(scope="session")
def python() -> Path:
    return environment.made().python


def loaded(root: Path, module: Path, python: Path, only: tuple[str, ...] = LOADING, *, tests: bool = False) -> Audit:
    return audit(root, module, AuditOptions(load=True, tests=tests, python=python), only)


def statuses(found: Audit) -> dict[str, str]:
    return {one.check: one.status for one in found.results}


def test_a_fresh_module_loads(root: Path, module: Path, python: Path) -> None:
    assert set(statuses(loaded(root, module, python)).values()) == {"PASS"}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_project_of_another_tool_loads_with_the_io_manager_after_its_upgrade(
    root: Path, python: Path, kind: str
) -> None:
    project = write(root / "projects/orders", OTHERS[kind])
    assert statuses(loaded(root, project, python))["io-manager-loaded"] == "FAIL"
    upgrade(root, "orders")
    assert set(statuses(loaded(root, project, python)).values()) == {"PASS"}


@pytest.mark.parametrize("tool", ["create-dagster", "dagster project scaffold"])
def test_what_the_real_tools_make_passes_everything_after_its_upgrade(
    root: Path, python: Path, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    lock = (root / "services/dagster/constraints.txt").read_text()
    (version,) = re.findall(r"^dagster==(.+)$", lock, re.MULTILINE)
    commands = {
        "create-dagster": [
            uv_program.program(),
            "tool",
            "run",
            f"create-dagster@{version}",
            "project",
            "orders",
            "--no-uv-sync",
        ],
        "dagster project scaffold": [python.with_name("dagster"), "project", "scaffold", "--name", "orders"],
    }
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    subprocess.run(commands[tool], cwd=root / "projects", stdin=subprocess.DEVNULL, capture_output=True, check=True)
    project = root / "projects/orders"
    assert audit(root, project).failed
    upgrade(root, "orders")
    found = audit(root, project, AuditOptions(load=True, python=python))
    assert [(one.check, one.problems) for one in found.results if one.status == "FAIL"] == []
    assert {"loads", "io-manager-loaded"} <= {one.check for one in found.results if one.status == "PASS"}


@pytest.mark.parametrize("kind", ["scaffold", "older scaffold"])
def test_requirements_that_do_not_fit_the_workspace_are_found(root: Path, python: Path, kind: str) -> None:
    project = write(root / "projects/orders", OTHERS[kind])
    file = project / ("pyproject.toml" if kind == "scaffold" else "setup.py")
    file.write_text(file.read_text().replace('"dagster",', '"dagster<1.5",'))
    found = loaded(root, project, python, ("requirements",))
    assert found.failed
    assert "dagster<1.5" in found.results[0].problems[0].message


def test_what_does_not_load_says_why(root: Path, module: Path, python: Path) -> None:
    (module / "src/sales_report_dagster/checks.py").write_text("import nothing_of_that_name\n")
    found = loaded(root, module, python)
    assert "nothing_of_that_name" in result(found, "loads").problems[0].message


def test_tests_are_run_and_failures_named(root: Path, python: Path) -> None:
    project = write(root / "projects/orders", SCAFFOLD)
    assert statuses(loaded(root, project, python, ("tests-pass",), tests=True)) == {"tests-pass": "PASS"}
    (project / "orders_tests/test_assets.py").write_text("def test_broken():\n    assert 1 == 2\n")
    found = loaded(root, project, python, ("tests-pass",), tests=True)
    assert "test_broken" in result(found, "tests-pass").problems[0].message


def test_without_load_nothing_of_the_module_is_run(root: Path, module: Path) -> None:
    (module / "src/sales_report_dagster/definitions.py").write_text("raise SystemExit(1)\nDefinitions(resources={})\n")
    assert "Only with --load" in messages(root, module, "loads")
