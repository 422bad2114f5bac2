"""Pipelines that carry out docker: their own steps build, push, deploy to a real host and roll back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy import pipeline_tool
from tests.deploy.host_engine import HostEngine
from tests.deploy.pipeline_steps import BRANCH, Runner
from tests.deploy.quick_images import QuickPlace, building, host_of, quick_place
from tests.deploy.registry import registry
from tests.deploy.test_docker import Place, place, yard  # noqa: F401 - fixtures
from tests.deploy.test_docker_credentials import USER, as_docker_writes_it, command_lines, files_with_it
from tests.deploy.test_pipeline_steps import PLATFORMS, Pipelined, tool  # noqa: F401 - fixtures
from tests.deploy.test_strategies import git
from tests.e2e.engine import Engine

pytestmark = [pytest.mark.docker, pytest.mark.slow]
#: No other test has it: all command lines of the machine are looked at.
PASSWORD = "pa55-of-the-pipelines"


def test_deploys_to_a_real_dagster_and_rolls_back(place: Place, tool: Path, tmp_path: Path) -> None:  # noqa: F811 - fixtures
    first = place.deploy()
    git(place.root, "init", "-q", "-b", BRANCH)
    known = {key: place.engine.environ[key] for key in ("DOCKER_HOST", "DOCKER_CONFIG") if key in place.engine.environ}
    pipelined = Pipelined(place.module, place.root, tool, {**pipeline_tool.NO_REGISTRY, **known})
    runner: Runner = pipelined.runner("github", place.host.client_key, tmp_path)
    done = runner.deploy()
    assert [(one.job.lower(), one.code) for one in done] == [("test", 0), ("deploy", 0)], done
    assert place.running().endswith(git(place.root, "rev-parse", "HEAD")[:8])
    assert place.registry in place.metadata()["image"]
    back = runner.roll_back()
    assert back.code == 0, back.said
    assert place.running() == first
    assert runner.told([*done, back]) == []
    assert runner.leftovers() == []


@pytest.fixture
def locked(tmp_path: Path, engine: Engine, engine_of_host: HostEngine) -> Iterator[QuickPlace]:
    """Give a host, and a registry that asks who is there."""
    with building(engine), registry(tmp_path / "registry", login=(USER, PASSWORD)) as address:
        for host in host_of(tmp_path / "hosts", engine_of_host):
            yield from quick_place(tmp_path / "w", host, engine, engine_of_host, address)


def test_each_platform_deploys_and_rolls_back_and_shows_no_password(
    locked: QuickPlace,
    tool: Path,  # noqa: F811 - a fixture
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("DEPLOY_REGISTRY_USER", USER)
        patch.setenv("DEPLOY_REGISTRY_PASSWORD", PASSWORD)
        first = locked.deploy()
    git(locked.root, "init", "-q", "-b", BRANCH)
    known = {key: os.environ[key] for key in ("DOCKER_HOST", "DOCKER_CONFIG") if key in os.environ}
    pipelined = Pipelined(locked.module, locked.root, tool, {**pipeline_tool.NO_REGISTRY, **known})
    for platform in PLATFORMS:
        folder = tmp_path / platform
        folder.mkdir()
        runner: Runner = pipelined.runner(platform, locked.host.client_key, folder)
        runner.registry = (USER, PASSWORD)
        with command_lines() as lines:
            done = runner.deploy()
            assert locked.running().endswith(git(locked.root, "rev-parse", "HEAD")[:8]), done
            done.append(runner.roll_back())
        assert [one for one in done if one.code] == []
        assert locked.running() == first
        assert runner.told(done) == []
        assert runner.leftovers() == []
        assert [line for line in lines if "docker\0login" in line and "--password-stdin" in line] != []
        shapes = (PASSWORD, as_docker_writes_it(PASSWORD))
        said = [*lines, *(one.said for one in done)]
        assert [text for text in said if any(shape in text for shape in shapes)] == []
        places = [locked.root, locked.host.folder, folder, Path("/dev/shm"), Path(os.environ["DOCKER_CONFIG"])]
        found = files_with_it(*places, password=PASSWORD)
        # Where the platform's server keeps secrets, gitlab-ci-local has a file.
        assert [path for path in found if ".gitlab-ci-local" not in str(path)] == []
