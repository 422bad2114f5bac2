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

from dagster_module_builder.base.errors import ConflictError, RefusedError, ToolError
from dagster_module_builder.compose import config, docker
from dagster_module_builder.compose.waiting import Patience
from dagster_module_builder.health.find_dagster import OtherDagster, RunningDagster, find_running
from dagster_module_builder.programs import compose_command, graphql
from dagster_module_builder.shared_files.formats import env_file
from dagster_module_builder.workspaces import external_checks
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.initialize import initialize
from dagster_module_builder.workspaces.sync import sync
from dagster_module_builder.workspaces.workspace import read_workspace
from tests.engine.folders import make_module, make_workspace
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
        "dagster_code: healthy",
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
    said: list[str] = []
    docker.logs(root, lambda line: said.append(line) is None, service="dagster_daemon")
    assert {line.partition(" ")[0] for line in said} == {"dagster_daemon-1"}

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


@pytest.fixture
def theirs(program: None, engine: Engine, image_names: dict[str, str], tmp_path: Path) -> Iterator[Path]:
    """Give the services' folder of a workspace that this program did not make; nothing of it is left afterwards."""
    root = make_workspace(tmp_path / f"theirs-{free_port()}")
    folder = root / "services/dagster"
    (folder / ".env").write_text(f"COMPOSE_PROJECT_NAME='{root.name}'\nPYTHON='{image_names['PYTHON_IMAGE']}'\n")
    yield folder
    every = [word for file in sorted(folder.glob("*.yml")) for word in ("-f", str(file))]
    engine.compose(folder, *every, "down", "--volumes", "--remove-orphans", "--rmi", "local", "-t", "1")


IMAGE_OF_OTHERS = """\
ARG PYTHON
FROM ${PYTHON}
RUN pip install --no-cache-dir "dagster==$(echo 1.8.8)" "dagster-webserver==$(echo 1.8.8)"
USER games
CMD ["dagster-webserver"]
"""
SNIPPET = b"""\
COPY projects/sales/pyproject.toml /opt/dagster/modules/sales/pyproject.toml
RUN uv pip install --system --constraint /opt/dagster/constraints.txt -r /opt/dagster/modules/sales/pyproject.toml
ENV PYTHONPATH="/workspace/projects/sales/src:${PYTHONPATH}"
"""


def test_a_built_image_is_asked_and_keeps_its_older_dagster(theirs: Path, engine: Engine) -> None:
    """FAULTS F1: where no file says which Dagster it has, the image does, and has it still after a module came."""
    root, image = theirs.parents[1], f"{theirs.parents[1].name}-web"
    args = "      dockerfile: services/dagster/Dockerfile\n"
    text = (theirs / "docker-compose.yml").read_text().replace(args, f"{args}      args: {{PYTHON: '${{PYTHON}}'}}\n")
    (theirs / "docker-compose.yml").write_text(text)
    (theirs / "Dockerfile").write_text(IMAGE_OF_OTHERS)
    engine.compose(theirs, "build", "web")
    before = engine.docker("run", "--rm", image, "pip", "list", "--format", "freeze").split()
    assert "dagster==1.8.8" in before
    project = make_module(root, "sales", dockerfile=SNIPPET) / "pyproject.toml"
    head = '[project]\nname = "sales"\nversion = "1"\n'
    project.write_text(head + 'dependencies = ["dagster>=1.13"]\n')
    with pytest.raises(ConflictError, match=rf"requires dagster>=1\.13, but .* dagster==1\.8\.8 \(the image {image}\)"):
        add_module(root, "sales", checks=external_checks.ALL)
    project.write_text(head + 'dependencies = ["dagster>=1.5", "peewee"]\n')
    add_module(root, "sales", checks=external_checks.ALL)
    engine.compose(theirs, "build", "web")
    after = engine.docker("run", "--rm", image, "pip", "list", "--format", "freeze").split()
    assert set(before) < set(after)
    assert any(line.startswith("peewee==") for line in after)
    seen = engine.docker("run", "--rm", image, "sh", "-c", 'id -un; echo "$PYTHONPATH"; dagster-webserver --version')
    assert seen.splitlines() == ["games", "/workspace/projects/sales/src", "dagster-webserver, version 1.8.8"]
    project.write_text(head + 'dependencies = ["dagster>=1.13", "peewee"]\n')
    with pytest.raises(ConflictError, match=rf"dagster==1\.8\.8 \(the image {image}\)"):
        sync(root, checks=external_checks.ALL)


PLAIN = "services:\n  {name}:\n    image: ${{PYTHON}}\n    command: sleep 1000\n    stop_grace_period: 0s\n"


def test_what_other_compose_files_started_is_left_alone(
    theirs: Path, engine: Engine, capfd: pytest.CaptureFixture[str]
) -> None:
    """`up` and `down` remove what the workspace's files had before, and nothing else of the project."""
    root, main, more = theirs.parents[1], theirs / "docker-compose.yml", theirs / "more.yml"
    main.write_text(PLAIN.format(name="web") + PLAIN.format(name="old").removeprefix("services:\n"))
    more.write_text(PLAIN.format(name="extra"))
    engine.compose(theirs, "up", "-d")
    engine.compose(theirs, "-f", str(main), "-f", str(more), "up", "-d", "--no-recreate", "extra")
    main.write_text(PLAIN.format(name="web"))
    docker.up(root, build=False)
    assert "extra-1 stays:" in capfd.readouterr().err
    assert running_in(engine, root) == {"web", "extra"}
    docker.down(root)
    assert running_in(engine, root) == {"extra"}

    engine.compose(theirs, "-f", str(main), "-f", str(more), "up", "-d")
    with pytest.raises(RefusedError, match=r"(?s)-web-1 was started with .*more\.yml as well.*COMPOSE_FILE='docker-c"):
        docker.up(root, build=False)
    with (theirs / ".env").open("a") as env:
        env.write("COMPOSE_FILE='docker-compose.yml:more.yml'\n")
    docker.up(root, build=False)
    assert running_in(engine, root) == {"web", "extra"}
    told: list[object] = []
    docker.up(root, build=False, before=told.append)
    assert told == []
    more.write_text(more.read_text().replace("sleep 1000", "sleep 1001"))
    docker.up(root, build=False, before=told.append)
    assert told == [["extra"]]
    name = env_file.values((theirs / ".env").read_bytes())["PYTHON"]
    (theirs / "Dockerfile").write_text(f"FROM {name}\nLABEL new=1\n")
    with main.open("a") as text:
        text.write("    build: .\n")
    main.write_text(main.read_text().replace("${PYTHON}", root.name))
    docker.up(root, before=told.append)
    (theirs / "Dockerfile").write_text(f"FROM {name}\nLABEL new=2\n")
    docker.up(root, before=told.append)
    assert told[1:] == [["web"], ["web"]]


STARTING = """\
services:
  slow:
    image: ${PYTHON}
    command: sh -c "for each in $$(seq 20); do echo line $$each; sleep 1; done; touch /tmp/well; exec sleep 1000"
    healthcheck: {test: [CMD, test, -e, /tmp/well], interval: 1s, timeout: 5s, retries: 2}
    stop_grace_period: 0s
  web:
    image: ${PYTHON}
    command: sleep 1000
    stop_grace_period: 0s
    depends_on: {slow: {condition: service_healthy}}
"""


def test_a_slow_start_is_waited_for_and_a_stuck_one_is_named(
    theirs: Path, engine: Engine, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAULTS E5: Docker calls it unhealthy, and Compose does not start what depends on it; it gets on all the same."""
    root, main = theirs.parents[1], theirs / "docker-compose.yml"
    main.write_text(STARTING)
    docker.up(root, build=False)
    shown = [line.strip() for line in capfd.readouterr().err.splitlines()]
    assert shown.index("slow: unhealthy") < shown.index("slow: healthy") < shown.index("web: running")
    assert running_in(engine, root) == {"slow", "web"}
    docker.down(root)
    main.write_text(STARTING.replace("touch /tmp/well", "echo stuck here"))
    monkeypatch.setattr(docker, "patience_with", lambda _modules: Patience(still=10, starting=30, unhealthy=120))
    with pytest.raises(ToolError, match=r"(?s)did not start\.\nslow: unhealthy; its log ends with:.*\n    stuck here$"):
        docker.up(root, build=False)
    docker.down(root)


def running_in(engine: Engine, root: Path) -> set[str]:
    label = "com.docker.compose"
    only = ("--filter", f"label={label}.project={root.name}")
    return set(engine.docker("ps", *only, "--format", f'{{{{.Label "{label}.service"}}}}').split())


def test_a_compose_file_is_checked_before_it_is_written(program: None, root: Path) -> None:
    services = root / "services/dagster"
    compose = (services / "docker-compose.yml").read_bytes()
    before = {path: path.read_bytes() for path in services.rglob("*") if path.is_file()}
    config.check_config(root, compose, b"")
    env = (services / ".env").read_bytes()
    config.check_config(root, compose.replace(b"${DAGSTER_PORT}", b"${NEW_PORT}"), env + b"NEW_PORT='3100'\n")
    with pytest.raises(ToolError, match="invalid"):
        config.check_config(root, compose.replace(b"${DAGSTER_PORT}", b"${NEW_PORT}"), env + b"NEW_PORT='x'\n")
    with pytest.raises(ToolError, match="no_such_service"):
        config.check_config(
            root, compose.replace(b"dagster_migrate:\n        cond", b"no_such_service:\n        cond"), b""
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
