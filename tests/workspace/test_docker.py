"""The workspace in containers: the empty one, with a real Docker Engine and Compose 2."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dagster_module_builder.base.errors import RefusedError, ToolError
from dagster_module_builder.compose import config, docker
from dagster_module_builder.health.find_dagster import OtherDagster, RunningDagster, find_running
from dagster_module_builder.programs import compose_command, graphql
from dagster_module_builder.workspaces.initialize import initialize
from dagster_module_builder.workspaces.workspace import read_workspace
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.engine import Engine

pytestmark = [pytest.mark.docker, pytest.mark.slow]

SECRETS = {"projects/one/.env": "A='1'", "services/dagster/.env.local": "B='2'", ".env": "C='3'", "data/secret": "D"}


@pytest.fixture
def program(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Speak to the tests' engine."""
    for name, value in engine.environ.items():
        monkeypatch.setenv(name, value)
    compose_command.program.cache_clear()
    yield
    compose_command.program.cache_clear()


@pytest.fixture
def up(program: None, engine: Engine, image_names: dict[str, str]) -> Iterator[Callable[[Path], str]]:
    """Make a workspace at a path with its defaults, bring it up, and give its webserver's address."""
    images = {"python_image": image_names["PYTHON_IMAGE"], "postgres_image": image_names["POSTGRES_IMAGE"]}
    roots: list[Path] = []

    def bring_up(root: Path) -> str:
        initialize(root, images)
        for name, text in SECRETS.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        roots.append(root)
        docker.up(root)
        return f"http://127.0.0.1:{read_workspace(root).own_env['DAGSTER_PORT']}"

    yield bring_up
    for root in roots:
        engine.compose(root / "services/dagster", "down", "--volumes", "--remove-orphans", "--rmi", "local", "-t", "5")


def test_an_empty_workspace_comes_up_serves_stops_and_starts_again(
    up: Callable[[Path], str], engine: Engine, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / f"dmb-empty-{free_port()}"
    url = up(root)
    assert [str(service) for service in docker.services(root)] == [
        "dagster_daemon: healthy",
        "dagster_migrate: done",
        "dagster_postgres: healthy",
        "dagster_webserver: healthy",
    ]
    assert graphql.is_up(url)
    assert graphql.location_states(url) == {}
    assert graphql.runs_in_progress(url) == []
    graphql.reload_workspace(url)
    _another_checkout_is_kept_apart(root, url)
    _a_network_of_another_project_is_refused(root)
    beside = tmp_path / "beside" / root.name
    assert up(beside) != url
    _two_workspaces_do_not_meet(engine, root, beside)
    _a_code_change_rebuilds_nothing(engine, beside)

    _no_secret_is_in_the_image(root, engine)

    docker.restart(root, "dagster_daemon")
    capfd.readouterr()
    docker.logs(root, service="dagster_daemon")
    out, _ = capfd.readouterr()
    assert "dagster_daemon" in out
    assert "dagster_webserver" not in out

    docker.down(root)
    assert docker.services(root) == []
    assert not graphql.is_up(url)
    _, err = capfd.readouterr()
    assert "Removed" in err

    (root / "services/dagster/dagster.yaml").write_text("storage: {nonsense: 1}\n")
    with pytest.raises(ToolError, match=r"(?s)dagster_migrate: ended with code 1; its log ends with:.*nonsense"):
        docker.up(root, build=False)


def _no_secret_is_in_the_image(root: Path, engine: Engine) -> None:
    password = (root / "services/dagster/.env").read_text().split("PASSWORD='")[1].split("'")[0]
    script = "find / -xdev -name '.env*' -o -xdev -name secret -path '*data*' | grep -v /proc/ || true; env"
    image = f"{root.name}-dagster"
    found = engine.docker("run", "--rm", "--entrypoint", "sh", image, "-c", script)
    assert [line for line in found.splitlines() if line.startswith("/")] == []
    history = engine.docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
    assert password not in found + history + engine.docker("image", "inspect", image)
    assert engine.docker("run", "--rm", "--entrypoint", "ls", image, "/workspace/services/dagster").strip() == ""


def _another_checkout_is_kept_apart(root: Path, url: str) -> None:
    """FAULTS C2: a copy of the folder has the same port and the same project's name, but not the containers."""
    assert find_running(read_workspace(root)) == RunningDagster(url, ("dagster_daemon",))
    other = Path(shutil.copytree(root, root.with_name("other")))
    assert find_running(read_workspace(other)) == OtherDagster(url, "/opt/dagster/home/storage")
    for command in (docker.up, docker.down):
        with pytest.raises(RefusedError, match=f"belong to {root}/services/dagster"):
            command(other)
    assert [service.name for service in docker.services(root) if not service.is_well] == []


def _a_network_of_another_project_is_refused(root: Path) -> None:
    """FAULTS E1: a workspace of an earlier version, whose network's name is another project's, is not started."""
    earlier = root.with_name("earlier")
    initialize(earlier, {"network": f"{root.name}-net"})
    with pytest.raises(RefusedError, match=rf"(?s)belongs to the project {root.name}\..*WORKSPACE_NETWORK='earlier"):
        docker.up(earlier)


def _two_workspaces_do_not_meet(engine: Engine, *roots: Path) -> None:
    """FAULTS E1: both were made with defaults in folders of one name, and both run."""
    for root in roots:
        services = root / "services/dagster"
        addresses = engine.compose(services, "exec", "-T", "dagster_webserver", "getent", "ahosts", "dagster_postgres")
        assert len({line.split()[0] for line in addresses.splitlines()}) == 1
        assert [service.name for service in docker.services(root) if not service.is_well] == []
        assert find_running(read_workspace(root)) == RunningDagster(
            f"http://127.0.0.1:{read_workspace(root).own_env['DAGSTER_PORT']}", ("dagster_daemon",)
        )


def _a_code_change_rebuilds_nothing(engine: Engine, root: Path) -> None:
    image = f"{read_workspace(root).own_env['COMPOSE_PROJECT_NAME']}-dagster"
    before = engine.docker("image", "ls", "--quiet", "--no-trunc", image)
    assert before
    (root / "projects/one/src").mkdir(parents=True)
    (root / "projects/one/src/code.py").write_text("changed = True\n")
    docker.up(root)
    assert engine.docker("image", "ls", "--quiet", "--no-trunc", image) == before


def test_a_compose_file_is_checked_before_it_is_written(program: None, root: Path) -> None:
    services = root / "services/dagster"
    compose = (services / "docker-compose.yml").read_bytes()
    before = {path: path.read_bytes() for path in services.rglob("*") if path.is_file()}
    config.check_config(services, compose, b"")
    env = (services / ".env").read_bytes()
    config.check_config(services, compose.replace(b"${DAGSTER_PORT}", b"${NEW_PORT}"), env + b"NEW_PORT='3100'\n")
    with pytest.raises(ToolError, match="invalid"):
        config.check_config(services, compose.replace(b"${DAGSTER_PORT}", b"${NEW_PORT}"), env + b"NEW_PORT='x'\n")
    with pytest.raises(ToolError, match="no_such_service"):
        config.check_config(
            services, compose.replace(b"dagster_migrate:\n        cond", b"no_such_service:\n        cond"), b""
        )
    assert {path: path.read_bytes() for path in services.rglob("*") if path.is_file()} == before


def fake_program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A PATH with nothing but what a test puts there: no machine lacks and has Docker at once."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    compose_command.program.cache_clear()
    yield folder
    compose_command.program.cache_clear()


def test_a_machine_without_docker_is_told_the_way_without_it(only: Path, root: Path) -> None:
    assert not compose_command.is_installed()
    with pytest.raises(ToolError, match=r"Docker Compose was not found.*workspace\.dev"):
        docker.up(root)


def test_a_compose_that_is_too_old_is_named(only: Path, root: Path) -> None:
    fake_program(only, "docker-compose", "echo 1.29.2")
    assert not compose_command.is_installed()
    with pytest.raises(ToolError, match="older than version 2"):
        docker.down(root)


def test_the_program_of_its_own_serves_where_there_is_no_plugin(only: Path) -> None:
    fake_program(only, "docker", "echo \"docker: 'compose' is not a docker command.\" >&2; exit 1")
    fake_program(only, "docker-compose", "echo v2.40.3")
    assert compose_command.program() == ("docker-compose",)


def test_the_plugin_is_preferred(only: Path) -> None:
    fake_program(only, "docker", 'test "$1" = compose && echo 2.40.3')
    fake_program(only, "docker-compose", "echo 2.40.3")
    assert compose_command.program() == ("docker", "compose")


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("permission denied while trying to connect to the Docker daemon socket", "Join the group 'docker'"),
        ("Cannot connect to the Docker daemon. Is the docker daemon running?", "systemctl start docker"),
    ],
)
def test_an_engine_that_does_not_answer_is_told_apart_from_one_that_refuses(
    only: Path, root: Path, said: str, advice: str
) -> None:
    fake_program(only, "docker", f'case "$*" in *version*) echo 2.40.3;; *) echo "{said}" >&2; exit 1;; esac')
    with pytest.raises(ToolError, match=advice):
        docker.up(root)


def test_without_an_engine_the_real_compose_says_so(
    program: None, root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    with pytest.raises(ToolError, match="Docker does not answer"):
        docker.up(root)


def test_a_shell_prepared_for_another_project_does_no_harm(program: None, root: Path) -> None:
    environment = {**os.environ, "COMPOSE_PROJECT_NAME": "other", "COMPOSE_FILE": "/nowhere.yml"}
    environment["PYTHONPATH"] = str(Path(docker.__file__).parents[2])
    script = (
        "import json; from pathlib import Path; from dagster_module_builder.compose import compose_program;"
        f"print(json.loads(compose_program.captured(Path({str(root)!r}), 'config', '--format', 'json'))['name'])"
    )
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    # Not the folder's name: another workspace that was made here before may have it.
    assert done.stdout.strip() == read_workspace(root).own_env["COMPOSE_PROJECT_NAME"], done.stderr
