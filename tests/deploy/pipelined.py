"""A repository whose pipeline deploys, and the steps of its jobs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from dagster_module_builder.deploy import pipeline
from dagster_module_builder.deploy.model.deployment import read_deployment
from dagster_module_builder.deploy.pipeline_companions import companions
from dagster_module_builder.deploy.pipelines.description import LOCK
from dagster_module_builder.deploy.pipelines.tool import lock_of
from dagster_module_builder.transactions.module_files import commit
from tests.deploy import pipeline_tool
from tests.deploy.modules import set_value
from tests.deploy.pipeline_steps import Github, Gitlab, Jenkins
from tests.deploy.repositories import git

PLATFORMS = {"github": Github, "gitlab": Gitlab, "jenkins": Jenkins}
#: A test of the module that needs no package.
QUICK = ['python -c \'import runpy; runpy.run_path("tests/test_it.py")["test_it"]()\'']


@dataclass
class Pipelined:
    """A module whose deployments pipelines carry out: every platform in turn.

    Attributes:
        module: Its folder.
        repository: What the platform clones: the module's own repository, or a workspace's.
        tool: The program, as the pipeline installs it.
        machine: Variables that the platform's machine sets.
        value: What the module's asset gives.
    """

    module: Path
    repository: Path
    tool: Path
    machine: dict[str, str]
    value: int = 1

    def runner(self, platform: str, key: Path, folder: Path, **own: Any) -> Any:
        """Commit a pipeline of that platform, and another value; return who carries it out."""
        self.value += 1
        set_value(self.module, self.value)
        self.write(platform=platform, trigger="manual" if platform == "jenkins" else "push", **own)
        git(self.repository, "add", "-A")
        git(self.repository, "commit", "-qm", f"{platform}, and another value")
        settings = (self.module / "deploy/yoda/.env.deploy").read_text()
        made = PLATFORMS[platform](folder / "runner", self.repository, key.read_text(), settings, self.machine)
        made.folder.mkdir()
        return made

    def write(self, **own: Any) -> None:
        """Write the pipeline, in place of another platform's; a person's key is nowhere."""
        path = self.module / "deploy/yoda/deployment.yaml"
        data = yaml.safe_load(path.read_text())
        carried = data["strategy"]
        if carried == "ci-cd":
            commit(pipeline.planned(read_deployment(path.parent), remove=True))
            carried = data["ci-cd"]["carries_out"]
        section = {"carries_out": carried, "tool": str(self.tool), "tests": QUICK, **own}
        data |= {"strategy": "ci-cd", "ci-cd": section, "ssh": {"identity_file": "~/.ssh/of-a-laptop"}}
        path.write_text(yaml.safe_dump(data))
        found = pipeline.find(read_deployment(path.parent))
        if section["tool"] == str(self.tool):
            # The light wheel needs nothing.
            (path.parent / LOCK).write_bytes(lock_of(section["tool"]).partition(b"\n")[0] + b"\n")
        for change in (*companions(found), pipeline.planned_at(found)):
            commit(change)


@pytest.fixture(scope="session")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pipeline_tool.light(tmp_path_factory.mktemp("light"))
