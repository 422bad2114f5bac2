"""Stacks of other people's making, adopted as they lie: a module comes and goes, and what they had works throughout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import needs
from tests.e2e.dagster_web import Dagster, await_that
from tests.e2e.engine import COMMAND_TIMEOUT_S, Engine
from tests.e2e.foreign_stacks import STACKS, ForeignStack
from tests.ports import free_port

pytestmark = [pytest.mark.docker, pytest.mark.slow]

#: One for each run of the tests with Docker, the others by ``nox -s stacks``.
PARAMETERS = ["official", *(pytest.param(name, marks=pytest.mark.stacks) for name in STACKS if name != "official")]

LAUNCH = """
mutation ($selector: JobOrPipelineSelector!) {
  launchPipelineExecution(executionParams: {selector: $selector, runConfigData: {}}) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""


@dataclass(frozen=True)
class Adopted:
    """A running stack, and the program that works on it."""

    stack: ForeignStack
    root: Path
    engine: Engine
    environ: dict[str, str]
    dagster: Dagster

    def compose(self, *arguments: str) -> str:
        """Run Compose as its owner does: in the folder of its Compose file."""
        return self._run("docker", "compose", *arguments, folder=self.root / self.stack.compose_folder)

    def command(self, *arguments: str) -> str:
        """Run this program in the repository."""
        return self._run(needs.program("dagster-module-builder"), *arguments, folder=self.root)

    def _run(self, *command: str, folder: Path) -> str:
        done = subprocess.run(
            command, cwd=folder, env=self.environ, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=COMMAND_TIMEOUT_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}\n{self._logs()}"
        return done.stdout

    def _logs(self) -> str:
        folder = self.root / self.stack.compose_folder
        command = ["docker", "compose", "logs", "--tail", "30"]
        return subprocess.run(command, cwd=folder, env=self.environ, capture_output=True, text=True, check=False).stdout

    def await_page(self) -> None:
        """Wait for the webserver; Dagit has no page of this name that webservers have."""
        await_that(self._answers, 180, "the page answers")

    def _answers(self) -> bool:
        try:
            return bool(self.dagster.query("{ version }")["version"])
        except OSError:
            return False

    def materialize(self, location: str) -> None:
        """Materialize all assets of a location through this stack's own webserver."""
        selector = {
            "repositoryLocationName": location, "repositoryName": "__repository__", "pipelineName": "__ASSET_JOB",
        }  # fmt: skip
        answer = self.dagster.query(LAUNCH, selector=selector)["launchPipelineExecution"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        run = answer["run"]["runId"]
        assert self.dagster.await_end(run) == "SUCCESS", f"{self.dagster.log(run)}\n{self._logs()}"


@pytest.fixture
def adopted(
    request: pytest.FixtureRequest, engine: Engine, image_names: dict[str, str], tmp_path: Path
) -> Iterator[Adopted]:
    """Give a stack of other people's making, up and as they left it."""
    stack, port = STACKS[request.param](), free_port()
    root = tmp_path / f"foreign-{port}"
    host = engine.environ["DOCKER_HOST"].removeprefix("unix://")
    values = {"PORT": str(port), "PROJECT": root.name, "SOCKET": host}
    stack.lay_out(root, values)
    environ = {**os.environ, **engine.environ, **image_names, "DAGSTER_WORKSPACE": str(root)}
    # A code server's base image can be named: the default is in a registry that the machine may not reach.
    variables = {**image_names, "SALES_PYTHON_IMAGE": image_names["PYTHON_IMAGE"]}
    (root / stack.compose_folder / ".env").write_text("".join(f"{key}={value}\n" for key, value in variables.items()))
    for name, text in stack.built_before.items():
        build = [
            "docker",
            "build",
            "-q",
            "-t",
            name.replace("@PROJECT@", root.name),
            "--build-arg",
            "PYTHON_IMAGE",
            "-",
        ]
        subprocess.run(build, input=text, text=True, env=environ, check=True, capture_output=True)
    running = Adopted(stack, root, engine, environ, Dagster(f"http://127.0.0.1:{port}"))
    try:
        running.compose("up", "--detach", "--build")
        running.await_page()
        running.dagster.await_locations(stack.location)
        yield running
    finally:
        running.compose("down", "--volumes", "--timeout", "5", "--remove-orphans")
        shutil.rmtree(root, ignore_errors=True)


def files_of(root: Path) -> dict[str, bytes]:
    """Return the repository's files without modules, this program's and what Dagster stores there."""
    own = (root / ".dagster-module-builder", root / "projects")
    paths = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in paths
        if not any(path.is_relative_to(folder) for folder in own) and not {"__pycache__", "storage"} & {*path.parts}
    }


def put_module(adopted: Adopted) -> str:
    """Have a module in the repository; return its name."""
    if adopted.stack.module is None:
        adopted.command("new", "sales", "--database", "none", "--workspace", "no", "--deployment", "no", "--no-input")
        return "sales"
    for name, text in adopted.stack.module.items():
        path = adopted.root / "projects/old" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return "old"


@pytest.mark.parametrize("adopted", PARAMETERS, indirect=True)
def test_a_module_comes_and_goes_and_the_rest_works_throughout(adopted: Adopted) -> None:
    own = adopted.stack.location
    adopted.materialize(own)
    untouched = files_of(adopted.root)
    found = json.loads(adopted.command("workspace.adopt", "--json", *adopted.stack.adopting))
    assert found["adoptable"]
    before = files_of(adopted.root)
    module = put_module(adopted)
    adopted.command("workspace.add", module)
    adopted.command("workspace.up")
    adopted.await_page()
    adopted.dagster.await_locations(own, module)
    adopted.materialize(module)
    adopted.materialize(own)
    adopted.command("workspace.remove", module, "--yes")
    adopted.command("workspace.up")
    adopted.await_page()
    adopted.dagster.await_locations(own)
    adopted.materialize(own)
    assert files_of(adopted.root) == before
    adopted.command("workspace.adopt", "--undo", "--yes")
    assert files_of(adopted.root) == untouched
