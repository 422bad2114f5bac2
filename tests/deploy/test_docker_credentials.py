"""A registry that asks who is there: its password stands in no command line, no file of ours and no log."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.strategies.images import logged_in
from tests.deploy.command_lines import command_lines
from tests.deploy.docker_login import PASSWORD, USER, as_docker_writes_it, files_with_it
from tests.deploy.host_engine import HostEngine
from tests.deploy.quick_images import QuickPlace, building, host_of, quick_place
from tests.deploy.registry import registry
from tests.e2e.engine import Engine

pytestmark = [pytest.mark.docker, pytest.mark.slow]


CODED = as_docker_writes_it(PASSWORD)
HELPER = """\
#!/bin/sh
cat >/dev/null
echo '{{"ServerURL": "", "Username": "{user}", "Secret": "{password}"}}'
"""


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory,
    engine: Engine,
    engine_of_host: HostEngine,
) -> Iterator[QuickPlace]:
    folder = tmp_path_factory.mktemp("credentials")
    with building(engine), registry(folder / "registry", login=(USER, PASSWORD)) as address:
        for host in host_of(folder / "hosts", engine_of_host):
            yield from quick_place(folder / "w", host, engine, engine_of_host, address)


def memory() -> set[str]:
    return {path.name for path in Path("/dev/shm").glob("dmb-*")}


def test_without_credentials_nothing_goes(place: QuickPlace) -> None:
    with pytest.raises(BuilderError, match=r"could not be pushed.*docker login 127.*DEPLOY_REGISTRY_PASSWORD"):
        place.deploy()


def test_given_for_this_deployment_only(place: QuickPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOY_REGISTRY_USER", USER)
    monkeypatch.setenv("DEPLOY_REGISTRY_PASSWORD", PASSWORD)
    before, steps = memory(), list[str]()
    with command_lines() as lines:
        place.deploy(lambda host, step: steps.append(f"{host} {step}"))
    # Once here and once on the host.
    assert sum(line.startswith("docker\0login") and "--password-stdin" in line for line in lines) >= 1
    assert not [line for line in lines if PASSWORD in line or CODED in line]
    config = Path(os.environ["DOCKER_CONFIG"])
    assert files_with_it(place.root, place.host.folder, config) == []
    assert PASSWORD not in "".join(steps)
    assert memory() <= before


def test_a_wrong_password(place: QuickPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOY_REGISTRY_USER", USER)
    monkeypatch.setenv("DEPLOY_REGISTRY_PASSWORD", "wr0ng")
    with pytest.raises(BuilderError, match="docker login here failed") as error:
        place.deploy()
    assert "wr0ng" not in str(error.value)


def test_a_credential_helper_here_and_there(place: QuickPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    helper = programs / "docker-credential-tests"
    helper.write_text(HELPER.format(user=USER, password=PASSWORD))
    helper.chmod(0o755)
    config = tmp_path / "config"
    config.mkdir()
    (config / "cli-plugins").symlink_to(Path(os.environ["DOCKER_CONFIG"]) / "cli-plugins")
    registry_of = place.registry
    (config / "config.json").write_text(json.dumps({"credHelpers": {registry_of: "tests"}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(config))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    path = place.host.environ["PATH"]
    place.host.environ |= {"DOCKER_CONFIG": str(config), "PATH": f"{programs}:{path}"}
    place.host.restart()
    release = place.deploy()
    assert place.dagster.locations()["sales_report"]["release"].endswith(release)
    assert files_with_it(place.root, place.host.folder, config) == []


def test_a_killed_client_leaves_no_password(place: QuickPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOY_REGISTRY_USER", USER)
    monkeypatch.setenv("DEPLOY_REGISTRY_PASSWORD", PASSWORD)
    seen = tmp_path / "seen"

    def run() -> None:
        os.setsid()
        with logged_in(f"{place.registry}/some:image") as environ:
            text = Path(environ["DOCKER_CONFIG"], "config.json").read_text()
            seen.write_text(f"{environ['DOCKER_CONFIG']} {CODED in text}")
            os.kill(os.getpid(), signal.SIGKILL)

    client = multiprocessing.get_context("fork").Process(target=run)
    client.start()
    client.join(60)
    folder, was_there = seen.read_text().split()
    assert was_there == "True"
    until = time.monotonic() + 20
    while Path(folder).exists():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_logged_in_at_the_engine_of_the_chosen_context(
    place: QuickPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password of a deployment's own must not make Docker speak to another engine than it builds with."""
    monkeypatch.setenv("DEPLOY_REGISTRY_USER", USER)
    monkeypatch.setenv("DEPLOY_REGISTRY_PASSWORD", PASSWORD)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST")
    chosen = Engine(dict(os.environ))
    chosen.docker("context", "create", "other", "--docker", f"host={place.there_runs.host}")
    chosen.docker("context", "use", "other")
    with logged_in(f"{place.registry}/some:image") as environ:
        root = Engine({**os.environ, **environ}).docker("info", "--format", "{{.DockerRootDir}}")
    assert root.strip() == str(place.there_runs.folder / "root")
