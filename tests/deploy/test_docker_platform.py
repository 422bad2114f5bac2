"""An image for another kind of processor than the host has: refused there, unless the host runs it all the same."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from dagster_module_builder.base.errors import BuilderError
from tests import needs
from tests.deploy import docker_clients
from tests.deploy.host_engine import HostEngine
from tests.deploy.quick_images import DAGSTER, QuickPlace, building, host_of, quick_place
from tests.deploy.registry import registry
from tests.e2e.engine import Engine

pytestmark = [pytest.mark.docker, pytest.mark.slow]
#: By Docker's name of a processor, what programs for it have in their header at byte 18:
#: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
MACHINES = {"amd64": 62, "arm64": 183}
#: Nothing runs while it is built, so that it is built for any processor.
DOCKERFILE = """\
FROM scratch
COPY src/programs /bin
ENV PATH=/bin
HEALTHCHECK --interval=1s CMD true
USER 1000:1000
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry(tmp_path_factory.mktemp("registry")) as made:
        yield made


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, engine: Engine, engine_of_host: HostEngine, address: str
) -> Iterator[QuickPlace]:
    folder = tmp_path_factory.mktemp("platform")
    with building(engine), pytest.MonkeyPatch.context() as patch:
        # The classic builder forgets at the first step what an image is for.
        (folder / "docker").symlink_to(docker_clients.old())
        patch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        patch.delenv("DOCKER_BUILDKIT", raising=False)
        for host in host_of(folder / "hosts", engine_of_host):
            for made in quick_place(folder / "w", host, engine, engine_of_host, address):
                (made.module / "deploy/yoda/Dockerfile").write_text(DOCKERFILE)
                yield made


@pytest.fixture(scope="module")
def here(engine: Engine) -> str:
    return engine.docker("version", "--format", "{{.Server.Arch}}").strip()


@pytest.fixture(params=["registry", "none"])
def other(request: pytest.FixtureRequest, place: QuickPlace, here: str, address: str) -> str:
    """Serve from an image for this processor, and have the next one built for another, whose name is given."""
    place.change(platform=f"linux/{here}", registry=address)
    write_programs(place, here)
    place.deploy()
    (name,) = MACHINES.keys() - {here}
    place.change(platform=f"linux/{name}", registry=address if request.param == "registry" else "none")
    return name


def write_programs(place: QuickPlace, processor: str) -> None:
    """Put a shell for a processor, and what stands in for Dagster, into the module's image."""
    shell = needs.program("busybox").read_bytes()
    shell = shell[:18] + MACHINES[processor].to_bytes(2, "little") + shell[20:]
    folder = place.module / "src/programs"
    folder.mkdir(exist_ok=True)
    for name, content in {"sh": shell, "sleep": shell, "true": shell, "dagster": DAGSTER.encode()}.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o755)


def test_a_host_that_cannot_run_it_keeps_the_old_one(place: QuickPlace, here: str, other: str) -> None:
    before, server = (place.host.base / "workspace.yaml").read_bytes(), place.server
    write_programs(place, other)
    said = f"(?s)Nothing was switched.*does not start.*is for {other}, and this host is {here}: set 'docker: platform'"
    with pytest.raises(BuilderError, match=said):
        place.deploy()
    assert (place.host.base / "workspace.yaml").read_bytes() == before
    assert place.server == server
    assert server in place.there_runs.containers()


def test_a_host_that_runs_it_all_the_same_gets_it(place: QuickPlace, other: str) -> None:
    """The image says that it is for another processor; its programs run, as they do where that one is emulated."""
    release = place.deploy()
    assert place.running() == release
    record = json.loads((place.there / "releases" / release / "RELEASE.json").read_text())
    assert record["platform"] == f"linux/{other}"
    shown = place.there_runs.docker("image", "inspect", "--format", "{{.Architecture}}", record["image"])
    assert shown.strip() == other
