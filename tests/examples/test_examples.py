"""The modules in ``examples/`` are what the tool makes today, and work: with real servers, and in a workspace."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import needs
from tests.documents import Document
from tests.examples.in_step import EXAMPLES, NAMES, REPOSITORY, copy_of, run
from tests.examples.servers import SERVERS
from tests.template import environment
from tests.template.forked import Programs

pytestmark = [pytest.mark.dagster, pytest.mark.slow]
#: Tests that share a workspace and an environment's processes.
together = pytest.mark.xdist_group("examples")
of_each = pytest.mark.parametrize("name", NAMES)

#: How one partition is named where there are partitions.
PARTITIONS = {"sensor-readings": ("--partition", "2026-03-02")}


#: Without the tests of the storage, which every module has alike (``tests/template`` runs them).
OWN_TESTS = ("-q", "-W", "error", "-p", "no:cacheprovider", "--ignore=tests/test_storage.py")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a workspace with the examples, none of which is added."""
    root = tmp_path_factory.mktemp("examples") / "workspace"
    assert run(root, "workspace.init").returncode == 0
    for name in NAMES:
        copy_of(name, root)
    return root


@pytest.fixture(scope="module")
def programs() -> Iterator[Programs]:
    """Give the programs of the environment that all examples share."""
    needs.registry()
    programs = Programs(environment.made().python)
    yield programs
    programs.close()


def variables(tmp_path: Path) -> dict[str, str]:
    """Return what each program gets: the environment's programs, and a home for a while."""
    folders = [environment.made().folder / "bin", *os.environ["PATH"].split(":"), environment.made("s3").folder / "bin"]
    home = {"HOME": str(tmp_path), "DAGSTER_HOME": str(tmp_path), "DAGSTER_STORAGE_DIR": str(tmp_path / "stored")}
    return {"PATH": ":".join(map(str, folders)), **home, "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"}


def check(programs: Programs, folder: Path, tmp_path: Path, *command: str, **more: str) -> str:
    """Run a program in a module; return what it said, and fail the test with that."""
    output = tmp_path / "output"
    code = programs.run(*command, folder=folder, environ={**variables(tmp_path), **more}, output=output)
    assert code == 0, output.read_text()
    return output.read_text()


def test_there_are_servers_for_every_example() -> None:
    assert set(SERVERS) == set(NAMES)


def test_nothing_is_committed_that_a_module_ignores() -> None:
    ignored = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard", "examples"]
    assert subprocess.run(ignored, cwd=REPOSITORY, check=True, capture_output=True).stdout == b""


@of_each
def test_an_example_is_made_by_the_command_in_its_page(name: str, tmp_path: Path) -> None:
    (command,) = [
        line
        for block in Document(name, (EXAMPLES / name / "README.md").read_text("utf-8")).blocks()
        for line in block.commands()
        if line.startswith("dagster-module-builder new ")
    ]
    root = tmp_path / "workspace"
    assert run(root, "workspace.init").returncode == 0
    made = run(root, *shlex.split(command)[1:])
    assert made.returncode == 0, made.stderr
    assert answers(root / "projects" / name) == answers(EXAMPLES / name)


def answers(module: Path) -> dict[str, Any]:
    """Return the answers that a module was made with, but for the next free port."""
    made: dict[str, Any] = json.loads((module / ".dagster-module.json").read_text("utf-8"))["answers"]
    return {question: answer for question, answer in made.items() if question != "database_port"}


@together
@of_each
def test_an_example_is_in_step_with_the_template(root: Path, name: str) -> None:
    checked = run(root, "upgrade", name, "--check")
    assert checked.returncode == 0, f"run python -m tests.examples.in_step: {checked.stdout}{checked.stderr}"
    assert "is up to date" in checked.stdout + checked.stderr


@together
@of_each
def test_the_audit_asks_for_nothing_but_a_deployment(root: Path, name: str) -> None:
    audited = run(root, "audit", name, "--json")
    report = json.loads(audited.stdout)
    assert audited.returncode == 0
    assert [one["id"] for one in report["results"] if one["status"] not in {"PASS", "SKIP"}] == ["deployments"]
    page = " ".join((EXAMPLES / "README.md").read_text("utf-8").split())
    assert f"{name} {report['passed']} of {report['checks']}" in page


@together
@of_each
def test_an_example_loads_and_passes_its_own_tests_and_linters(
    root: Path, programs: Programs, name: str, tmp_path: Path
) -> None:
    module = root / "projects" / name
    for arguments in (["check"], ["format", "--check"]):
        subprocess.run([environment.made().program("ruff"), *arguments, "--no-cache", module], check=True)
    check(programs, module, tmp_path, "dg", "check", "defs")
    own = check(programs, module, tmp_path, "pytest", *OWN_TESTS)
    assert " passed" in own


def test_every_example_is_strictly_typed(tmp_path: Path) -> None:
    sources = [str(EXAMPLES / name / "src") for name in NAMES]
    settings = ["--config-file", EXAMPLES / NAMES[0] / "pyproject.toml", "--cache-dir", tmp_path]
    command = [environment.made().program("mypy"), *settings, *sources]
    done = subprocess.run(
        command, env={**os.environ, "MYPYPATH": ":".join(sources)}, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@together
@of_each
def test_an_example_is_materialized_with_real_servers(
    root: Path, programs: Programs, name: str, tmp_path: Path
) -> None:
    module = root / "projects" / name
    definitions = f"{name.replace('-', '_')}_dagster.definitions"
    materialize = ["dagster", "asset", "materialize", "--select", "*", "-m", definitions, *PARTITIONS.get(name, ())]
    with SERVERS[name](tmp_path / "servers") as more:
        check(programs, module / "src", tmp_path, *materialize, PYTHONPATH=str(module / "src"), **more)


@together
def test_the_examples_come_into_a_workspace_and_leave_no_trace(root: Path) -> None:
    before = shared_files(root)
    for name in NAMES:
        added = run(root, "workspace.add", name)
        assert added.returncode == 0, added.stdout + added.stderr
    assert shared_files(root) != before
    for name in NAMES:
        removed = run(root, "workspace.remove", name, "--yes")
        assert removed.returncode == 0, removed.stdout + removed.stderr
    assert shared_files(root) == before


def shared_files(root: Path) -> dict[str, bytes]:
    """Return the files that modules contribute to."""
    return {path.name: path.read_bytes() for path in (root / "services/dagster").iterdir() if path.is_file()}
