"""Pipelines that carry out docker: their own steps build, push, deploy to a real host and roll back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy import pipeline_tool
from tests.deploy.command_lines import command_lines
from tests.deploy.docker_login import USER, as_docker_writes_it, files_with_it
from tests.deploy.docker_place import LOGIN, Place, place, yard  # noqa: F401 - fixtures
from tests.deploy.host_engine import HostEngine
from tests.deploy.pipeline_steps import BRANCH, Done, Runner
from tests.deploy.pipelined import PLATFORMS, Pipelined, tool  # noqa: F401 - fixtures
from tests.deploy.quick_images import QuickPlace, building, host_of, quick_place
from tests.deploy.registry import registry
from tests.deploy.repositories import git
from tests.e2e.engine import Engine

pytestmark = [pytest.mark.docker, pytest.mark.slow]
#: No other test has it: all command lines of the machine are looked at.
PASSWORD = "pa55-of-the-pipelines"


def test_deploys_to_a_real_dagster_and_rolls_back(place: Place, tool: Path, tmp_path: Path) -> None:  # noqa: F811 - fixtures
    first = place.deploy()
    runner = runner_of(place, "github", LOGIN, tool, tmp_path)
    done, lines = deployed_and_rolled_back(runner, place)
    assert [(one.job.lower(), one.code) for one in done] == [("test", 0), ("deploy", 0), ("rollback", 0)], done
    assert place.registry in place.metadata()["image"]
    assert place.running() == first
    assert_no_password(runner, done, lines, place.root, place.host.folder)


def runner_of(
    site: Place | QuickPlace,
    platform: str,
    login: tuple[str, str],
    tool: Path,  # noqa: F811 - no fixture
    folder: Path,
) -> Runner:
    """Return who carries out a pipeline, on a machine with the builder's Docker."""
    if not (site.root / ".git").exists():
        git(site.root, "init", "-q", "-b", BRANCH)
    known = {key: os.environ[key] for key in ("DOCKER_HOST", "DOCKER_CONFIG") if key in os.environ}
    pipelined = Pipelined(site.module, site.root, tool, {**pipeline_tool.NO_REGISTRY, **known})
    runner: Runner = pipelined.runner(platform, site.host.client_key, folder)
    runner.registry = login
    return runner


def deployed_and_rolled_back(runner: Runner, site: Place | QuickPlace) -> tuple[list[Done], set[str]]:
    """Run the pipeline's jobs; return them, and all command lines that there were meanwhile."""
    with command_lines() as lines:
        done = runner.deploy()
        assert site.running().endswith(git(site.root, "rev-parse", "HEAD")[:8]), done
        done.append(runner.roll_back())
    return done, lines


def assert_no_password(runner: Runner, done: list[Done], lines: set[str], *folders: Path) -> None:
    """No secret is in what jobs said, in a command line or in a file."""
    assert runner.told(done) == []
    assert runner.leftovers() == []
    assert [line for line in lines if "docker\0login" in line and "--password-stdin" in line] != []
    password = runner.registry[1]
    shapes = (password, as_docker_writes_it(password))
    said = [*lines, *(one.said for one in done)]
    assert [text for text in said if any(shape in text for shape in shapes)] == []
    places = [*folders, runner.folder, Path("/dev/shm"), Path(os.environ["DOCKER_CONFIG"])]
    found = files_with_it(*places, password=password)
    # Where the platform's server keeps secrets, gitlab-ci-local has a file.
    assert [path for path in found if ".gitlab-ci-local" not in str(path)] == []


@pytest.fixture
def locked(tmp_path: Path, engine: Engine, engine_of_host: HostEngine) -> Iterator[QuickPlace]:
    """Give a host, and a registry that asks who is there."""
    with building(engine), registry(tmp_path / "registry", login=(USER, PASSWORD)) as address:
        for host in host_of(tmp_path / "hosts", engine_of_host):
            yield from quick_place(tmp_path / "w", host, engine, engine_of_host, address)


def test_the_other_platforms_deploy_and_roll_back(
    locked: QuickPlace,
    tool: Path,  # noqa: F811 - a fixture
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("DEPLOY_REGISTRY_USER", USER)
        patch.setenv("DEPLOY_REGISTRY_PASSWORD", PASSWORD)
        first = locked.deploy()
    for platform in sorted({*PLATFORMS} - {"github"}):
        folder = tmp_path / platform
        folder.mkdir()
        runner = runner_of(locked, platform, (USER, PASSWORD), tool, folder)
        done, lines = deployed_and_rolled_back(runner, locked)
        assert [one for one in done if one.code] == []
        assert locked.running() == first
        assert_no_password(runner, done, lines, locked.root, locked.host.folder)
