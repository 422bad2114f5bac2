"""Pipelines that carry out docker: their own steps build, push, deploy to a real host and roll back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy import pipeline_tool
from tests.deploy.pipeline_steps import BRANCH, Runner
from tests.deploy.test_docker import Place, place, yard  # noqa: F401 - fixtures
from tests.deploy.test_pipeline_steps import PLATFORMS, Pipelined, tool  # noqa: F401 - fixtures
from tests.deploy.test_strategies import git

pytestmark = [pytest.mark.docker, pytest.mark.slow]


def test_each_platform_deploys_and_rolls_back(place: Place, tool: Path, tmp_path: Path) -> None:  # noqa: F811 - fixtures
    first = place.deploy()
    git(place.root, "init", "-q", "-b", BRANCH)
    known = {key: place.engine.environ[key] for key in ("DOCKER_HOST", "DOCKER_CONFIG") if key in place.engine.environ}
    pipelined = Pipelined(place.module, place.root, tool, {**pipeline_tool.NO_REGISTRY, **known})
    for platform in PLATFORMS:
        folder = tmp_path / platform
        folder.mkdir()
        runner: Runner = pipelined.runner(platform, place.host.client_key, folder)
        done = runner.deploy()
        assert [(one.job.lower(), one.code) for one in done] == [("test", 0), ("deploy", 0)], done
        assert place.running().endswith(git(place.root, "rev-parse", "HEAD")[:8])
        assert place.registry in place.metadata()["image"]
        back = runner.roll_back()
        assert back.code == 0, back.said
        assert place.running() == first
        assert runner.told([*done, back]) == []
        assert runner.leftovers() == []
