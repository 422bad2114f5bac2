"""An image is built by BuildKit where it is there, and by the classic builder elsewhere; nothing in it differs."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.deploy.strategies.images import Recipe, build, context_of
from tests.deploy import docker_clients
from tests.e2e.engine import Engine
from tests.ports import free_port

pytestmark = pytest.mark.docker
DOCKERFILE = b"""\
ARG PYTHON_IMAGE
FROM ${PYTHON_IMAGE} AS made
RUN echo made >/made
FROM ${PYTHON_IMAGE}
ARG MODULE=.
COPY --from=made /made /made
COPY ${MODULE}/src ${MODULE}/constraints.tx[t] /opt/dagster/
HEALTHCHECK --interval=1s CMD true
USER 1000:1000
"""
#: What BuildKit says of each layer that it makes.
BUILDKIT = "buildkit.dockerfile"


@pytest.fixture
def tag(engine: Engine) -> Iterator[str]:
    name = f"dmb-build-{free_port()}:it"
    yield name
    engine.docker("image", "rm", "--force", name)


def use(
    client: Path, folder: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch, *, with_plugin: bool = False
) -> None:
    """Have a certain command line of Docker's be the one that is found, with no plugin but BuildKit's."""
    programs, config = folder / "bin", folder / "config"
    programs.mkdir()
    (programs / "docker").symlink_to(client)
    (config / "cli-plugins").mkdir(parents=True)
    if with_plugin:
        (config / "cli-plugins/docker-buildx").symlink_to(docker_clients.plugin())
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_CONFIG", str(config))
    monkeypatch.delenv("DOCKER_BUILDKIT", raising=False)
    if "DOCKER_HOST" in engine.environ:
        monkeypatch.setenv("DOCKER_HOST", engine.environ["DOCKER_HOST"])


def built(folder: Path, tag: str, python_image: str, platform: str) -> str:
    """Build an image of a folder, and return its identity."""
    (folder / "Dockerfile").write_bytes(DOCKERFILE)
    with tempfile.TemporaryFile() as packed:
        context_of({"here/Dockerfile": folder / "Dockerfile", "here/src/code.py": Path(__file__)}, packed)
        packed.seek(0)
        arguments = {"MODULE": "here", "PYTHON_IMAGE": python_image}
        return build(packed, Recipe("here/Dockerfile", tag, platform, arguments, {"it": "is"}))


@pytest.mark.parametrize(
    ("client", "with_plugin", "chosen"),
    [
        (docker_clients.old, False, True),
        (docker_clients.new, False, False),
        (docker_clients.new, True, True),
    ],
    ids=["BuildKit in the command line", "no BuildKit", "BuildKit as a plugin"],
)
def test_built_by_what_is_there(
    client: Callable[[], Path],
    with_plugin: bool,
    chosen: bool,
    engine: Engine,
    image_names: dict[str, str],
    tag: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(client(), tmp_path, engine, monkeypatch, with_plugin=with_plugin)
    found = built(tmp_path, tag, image_names["PYTHON_IMAGE"], "linux/amd64")
    history = engine.docker("history", "--no-trunc", "--format", "{{.Comment}}", tag)
    assert (BUILDKIT in history) is chosen
    (image,) = json.loads(engine.docker("image", "inspect", tag))
    assert image["Id"] == found
    assert image["Config"]["User"] == "1000:1000"
    assert image["Config"]["Labels"] == {"it": "is"}
    assert image["Config"]["Healthcheck"]["Test"] == ["CMD-SHELL", "true"]


def test_another_platform_without_buildkit(
    engine: Engine, image_names: dict[str, str], tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(docker_clients.new(), tmp_path, engine, monkeypatch)
    (other,) = {"amd64", "arm64"} - {engine.docker("version", "--format", "{{.Server.Arch}}").strip()}
    with pytest.raises(ToolError, match=f"plugin buildx to build for linux/{other}"):
        built(tmp_path, tag, image_names["PYTHON_IMAGE"], f"linux/{other}")
