"""What is read out of compose files and Dockerfiles."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dagster_module_builder.compose.dockerignore import is_ignored, path_in_context
from dagster_module_builder.compose.image import read_image
from dagster_module_builder.compose.image_names import full_name
from dagster_module_builder.compose.service import innermost
from dagster_module_builder.compose.stack import Stack, services_with_code
from dagster_module_builder.shared_files.formats.dockerfile import position, stages

FOLDER = Path("/ws/services/dagster")


def stack(text: str, env: dict[str, str] | None = None, **files: str) -> Stack:
    def read(path: Path) -> bytes | None:
        text = files.get(path.name.replace(".", "_"))
        return None if text is None else text.encode()

    return Stack(FOLDER, yaml.safe_load(text), env or {}, read, FOLDER / ".env")


@pytest.mark.parametrize(
    ("patterns", "path", "ignored"),
    [
        ("", "projects/a/pyproject.toml", False),
        ("projects", "projects/a/pyproject.toml", True),
        ("/projects/", "projects/a/pyproject.toml", True),
        ("*\n!projects/*/pyproject.toml", "projects/a/pyproject.toml", False),
        ("*\n!projects/*/pyproject.toml", "projects/a/src/x.py", True),
        ("**/*.toml", "projects/a/pyproject.toml", True),
        ("**/*.toml", "pyproject.toml", True),
        ("*.toml", "projects/a/pyproject.toml", False),
        ("# projects\n\n!x\n", "projects/a/pyproject.toml", False),
        ("projects\n!projects/a", "projects/a/pyproject.toml", False),
        ("project?", "projects/a/pyproject.toml", True),
    ],
)
def test_what_a_dockerignore_leaves_out(patterns: str, path: str, ignored: bool) -> None:
    assert is_ignored(patterns, path) is ignored


def test_a_file_outside_the_context_is_not_reached() -> None:
    file, dockerfile = Path("/ws/projects/a/pyproject.toml"), FOLDER / "Dockerfile"
    assert path_in_context(FOLDER, dockerfile, file, lambda _: None) is None
    assert path_in_context(Path("/"), dockerfile, file, lambda _: None) == "ws/projects/a/pyproject.toml"


def test_a_dockerignore_of_the_dockerfile_takes_the_place_of_the_contexts() -> None:
    texts = {"Dockerfile.dockerignore": b"nothing", ".dockerignore": b"*"}
    file = Path("/ws/projects/a/pyproject.toml")
    found = path_in_context(Path("/ws"), FOLDER / "Dockerfile", file, lambda path: texts.get(path.name))
    assert found == "projects/a/pyproject.toml"


MULTI = b"""\
ARG BASE=python:3.12
FROM ${BASE} AS Base
ENV APP=/srv/app HOME="/home"
WORKDIR $APP
RUN pip install uvicorn \\
    # a comment between
    dagster
ENTRYPOINT ["tini", "--"]

# The page.
FROM base AS web
WORKDIR sub
CMD ["dagster-webserver", "-w", "workspace.yaml"]

FROM --platform=linux/amd64 base
COPY --from=ghcr.io/astral-sh/uv:0.9 /uv /bin/uv
COPY --chown=1000 workspace.yaml dagster.yaml $APP/
USER 1000
CMD dagster-daemon run
"""


def test_what_a_dockerfile_says_of_its_stages() -> None:
    image = read_image(MULTI)
    assert [stage.name for stage in image.stages] == ["base", "web", None]
    assert image.start("web") == ("tini --", "dagster-webserver -w workspace.yaml")
    assert image.start(None) == ("tini --", "dagster-daemon run")
    assert (image.working_dir("web"), image.working_dir(None)) == ("/srv/app/sub", "/srv/app")
    assert (image.user("web"), image.user(None)) == (None, "1000")
    assert image.environment("WEB") == {"APP": "/srv/app", "HOME": "/home"}
    assert image.copied(None) == [("workspace.yaml", "/srv/app/"), ("dagster.yaml", "/srv/app/")]
    assert image.copied("web") == []


def test_a_block_goes_to_the_stage_that_all_targets_share_or_to_each() -> None:
    image = read_image(MULTI)
    assert image.slots([None]) == [()]
    assert image.slots(["web", None]) == [("web",), ()]
    assert image.slots(["web"]) == [("web",)]
    assert image.slots(["nowhere", None]) == []
    plain = read_image(MULTI.replace(b"COPY --from=ghcr.io/astral-sh/uv:0.9 /uv /bin/uv\n", b""))
    assert plain.slots(["web", None]) == [("base",)]


def test_a_block_does_not_come_before_what_a_later_stage_installs() -> None:
    """FAULTS F1: that line would be built again after the block, and find other packages than before."""
    lines = b"FROM python AS base\nRUN %s\nFROM base AS web\nRUN %s\nFROM base AS daemon\nCMD x\n"
    install, other = b"pip install dagster", b"mkdir /x"
    assert read_image(lines % (install, other)).slots(["web", "daemon"]) == [("base",)]
    assert read_image(lines % (install, install)).slots(["web", "daemon"]) == [("web",), ()]
    apart = b"FROM python AS web\nFROM python AS daemon\nFROM web\n"
    assert read_image(apart).slots(["web", "daemon"]) == [("web",), ("daemon",)]


def test_a_block_stands_before_what_a_stage_runs_and_before_comments_on_the_next_stage() -> None:
    own = MULTI.splitlines(keepends=True)
    assert [name for _, name in stages(own)] == ["base", "web", None]
    assert own[position(own, ("base",))].startswith(b"ENTRYPOINT")
    assert own[position(own, ("web",))].startswith(b"CMD")
    assert own[position(own)].startswith(b"USER 1000")


def test_going_back_to_root_is_not_yet_running() -> None:
    own = [b"FROM app\n", b"USER root\n", b"RUN apt-get install git\n", b"USER app\n"]
    assert position(own) == 3


SERVICES = """
services:
  web:
    build: {context: ../.., dockerfile: services/dagster/Dockerfile}
    image: ${PREFIX}-dagster
    volumes:
      - ../..:/srv
      - data:/srv/data
      - {type: bind, source: /etc/x, target: /x, read_only: true}
      - ${UNKNOWN}/y:/y
      - /anonymous
    tmpfs: /tmp
    env_file: [.env, more.env]
    environment: {A: 1, B: true, C: }
  daemon:
    image: ${PREFIX}-dagster
    command: dagster-daemon run
volumes:
  data:
"""


def test_mounts_environment_and_image_of_a_service() -> None:
    env = {"PREFIX": "p", "C": "c"}
    found = stack(SERVICES, env, Dockerfile="FROM x\nCMD dagster-webserver\n", more_env="M='m'\n")
    web = found.services["web"]
    assert found.services["daemon"].dockerfile == web.dockerfile == FOLDER / "Dockerfile"
    assert web.environment == {"A": "1", "B": "true", "C": "c"}
    assert web.variable("M") == "m"
    assert web.variable("PREFIX") == "p"
    sources = {mount.target: (mount.source, mount.writable, mount.lasting) for mount in web.mounts}
    assert sources == {
        "/srv": ("/ws", True, True),
        "/srv/data": ("dagster_data", True, True),
        "/x": ("/etc/x", False, True),
        "/y": (None, True, True),
        "/anonymous": (None, True, False),
        "/tmp": (None, True, False),
    }
    inside = innermost(web.mounts, "/srv/data/out")
    assert inside
    assert inside.source_of("/srv/data/out") == "dagster_data/out"
    assert services_with_code(found) == (["web", "daemon"], [])


@pytest.mark.parametrize(
    ("service", "loads"),
    [
        ("{command: dagster-webserver}", True),
        ("{entrypoint: [dagit, -h, 0.0.0.0]}", True),
        ("{command: dagster dev}", True),
        ("{entrypoint: [dagster, dev]}", True),
        ("{command: dagster api grpc -m x}", False),
        ("{command: [dagster, code-server, start]}", False),
        ("{command: [dagster, instance, migrate]}", False),
        ("{image: airflow}", False),
        ("{command: ./start.sh}", False),
    ],
)
def test_which_commands_load_code(service: str, loads: bool) -> None:
    assert (services_with_code(stack(f"services: {{one: {service}}}"))[0] == ["one"]) is loads


@pytest.mark.parametrize(
    ("name", "image", "seems"),
    [
        ("dagster-webserver", "x", True),
        ("webserver", "dagster/dagster", True),
        ("airflow-webserver", "airflow", False),
        ("docker-daemon", "dind", False),
        ("dagster-store", "postgres", False),
    ],
)
def test_names_tell_where_commands_do_not(name: str, image: str, seems: bool) -> None:
    found = stack(f"services: {{{name}: {{image: {image}, command: ./start.sh}}}}")
    assert (services_with_code(found)[0] == [name]) is seems


def test_names_as_the_engine_knows_them() -> None:
    networks = "networks: {a: {}, b: {name: own}, c: {external: true}, d: {external: {name: old}}}"
    found = stack(f"{networks}\nvolumes: {{v: , w: {{name: $N}}}}", {"N": "named", "COMPOSE_PROJECT_NAME": "p"})
    assert found.network_names == {"a": "p_a", "b": "own", "c": "c", "d": "old", "default": "p_default"}
    assert found.volume_names == {"v": "p_v", "w": "named"}
    assert stack("name: given\nvolumes: {v: }").volume_names == {"v": "given_v"}
    assert stack("volumes: {v: }").volume_names == {"v": "dagster_v"}


@pytest.mark.parametrize(
    ("written", "full"),
    [
        ("dagster", "docker.io/library/dagster:latest"),
        ("dagster:latest", "docker.io/library/dagster:latest"),
        ("docker.io/library/dagster", "docker.io/library/dagster:latest"),
        ("index.docker.io/dagster", "docker.io/library/dagster:latest"),
        ("team/dagster:1", "docker.io/team/dagster:1"),
        ("localhost/dagster", "localhost/dagster:latest"),
        ("registry:5000/dagster", "registry:5000/dagster:latest"),
        ("ghcr.io/team/dagster@sha256:0", "ghcr.io/team/dagster@sha256:0"),
    ],
)
def test_names_that_mean_one_image(written: str, full: str) -> None:
    assert full_name(written) == full


@pytest.mark.parametrize("name", ["own", "own:latest", "docker.io/library/own", "docker.io/own:latest", "$OWN"])
def test_an_image_is_the_one_that_another_service_builds_however_it_is_written(name: str) -> None:
    """FAULTS F7: a tag or a registry that Docker adds makes no other image."""
    other = f"{{image: '{name}', command: x}}"
    services = f"services: {{web: {{build: ., image: own, command: dagster-webserver}}, other: {other}}}"
    found = stack(services, {"OWN": "own:latest"}, Dockerfile="FROM x\n")
    assert found.services["other"].dockerfile == FOLDER / "Dockerfile"
    assert services_with_code(found) == (["web"], ["other"])


def test_services_that_extend_others() -> None:
    text = """
services:
  base: {image: a, environment: {A: 1}, volumes: [./x:/x]}
  one: {extends: base, environment: {B: 2}, volumes: [./y:/y]}
  two: {extends: {file: other.yaml, service: far}, command: dagster-daemon run}
  loop: {extends: loop}
"""
    found = stack(text, other_yaml="services: {far: {image: far}}").services
    assert found["one"].environment == {"A": "1", "B": "2"}
    assert [mount.target for mount in found["one"].mounts] == ["/x", "/y"]
    assert found["two"].image_name == "far"
    assert found["loop"].command == ""
