"""Whatever breaks while an image is on its way: the old one serves, and no container is left over."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.rollback import roll_back
from tests import needs
from tests.deploy.host_engine import HostEngine
from tests.deploy.quick_images import MODULE, QuickPlace, building, host_of, quick_place
from tests.deploy.registry import CutWire, registry
from tests.deploy.sshd import SshHost
from tests.e2e.engine import Engine

pytestmark = [pytest.mark.docker, pytest.mark.slow]
#: The steps in which a container is on its way, or there; after "keep" the new one counts.
STEPS = ["transfer", "verify", "verified", "switch", "keep"]


@pytest.fixture(scope="module")
def registry_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registry")


@pytest.fixture(scope="module")
def address(registry_folder: Path) -> Iterator[str]:
    with registry(registry_folder) as made:
        yield made


@pytest.fixture(scope="module")
def builder(engine: Engine) -> Iterator[None]:
    with building(engine):
        yield


@pytest.fixture(scope="module")
def ssh_host(tmp_path_factory: pytest.TempPathFactory, engine_of_host: HostEngine) -> Iterator[SshHost]:
    yield from host_of(tmp_path_factory.mktemp("hosts"), engine_of_host)


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory,
    builder: None,
    ssh_host: SshHost,
    engine: Engine,
    engine_of_host: HostEngine,
    address: str,
) -> Iterator[QuickPlace]:
    root = tmp_path_factory.mktemp("faults") / "workspace"
    for place in quick_place(root, ssh_host, engine, engine_of_host, address):
        place.deploy()
        yield place


@pytest.fixture
def place(made: QuickPlace) -> Iterator[tuple[QuickPlace, str]]:
    """Give a host with one code server; whatever the test breaks, that one serves afterwards, and alone."""
    server = made.server
    yield made, server
    made.await_free()
    assert made.server == server
    assert made.there_runs.containers() == {server}
    assert [path.name for path in (made.there / "servers").iterdir()] == [server]


def dying_at(step: str, work: Callable[[], object]) -> Callable[[str, str], None]:
    def listen(_: str, now: str) -> None:
        if now == step:
            work()

    return listen


@pytest.mark.parametrize("step", STEPS)
def test_client_killed(place: tuple[QuickPlace, str], step: str) -> None:
    client = place[0].begin(dying_at(step, lambda: os.kill(os.getpid(), signal.SIGKILL)))
    client.join(60)
    assert client.exitcode == -signal.SIGKILL


def test_client_killed_while_a_container_starts(place: tuple[QuickPlace, str]) -> None:
    made, server = place
    client = made.begin()
    until = time.monotonic() + 60
    while made.there_runs.containers() == {server}:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert client.pid is not None
    os.kill(client.pid, signal.SIGKILL)
    client.join(60)
    assert client.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("known", [True, False], ids=["written down", "still being made when its client died"])
def test_host_side_killed(place: tuple[QuickPlace, str], known: bool) -> None:
    """Nothing on the host can remove the new container then; the next command does."""
    made, server = place
    with pytest.raises(BuilderError):
        made.deploy(dying_at("keep" if known else "verified", made.kill_host_side))
    (new,) = made.there_runs.containers() - {server}
    if not known:
        shutil.rmtree(made.there / "servers" / new)
    with pytest.raises(KeyboardInterrupt):
        made.deploy(dying_at("transfer", _interrupt))


def test_an_edited_block_is_refused_before_anything_is_built(place: tuple[QuickPlace, str]) -> None:
    """FAULTS B5: a build may take minutes."""
    made, _ = place
    path, steps = made.host.base / "workspace.yaml", []
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"location_name: sales_report", b"location_name: sales_report # mine"))
    try:
        with pytest.raises(BuilderError, match="edited by hand"):
            made.deploy(lambda host, _: steps.append(host))
    finally:
        path.write_bytes(whole)
    assert "here" not in steps


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_storage_that_is_root_s_is_refused(place: tuple[QuickPlace, str]) -> None:
    """A run in the container could not report to it, and would hang for good."""
    made, _ = place
    made.change(dagster_home=str(made.host.folder))
    try:
        with pytest.raises(BuilderError, match=r"(?s)Nothing was switched.* belongs to root"):
            made.deploy()
    finally:
        made.change(dagster_home=None)


@pytest.mark.parametrize("way", ["registry", "none"])
def test_disk_full_while_the_image_comes(place: tuple[QuickPlace, str], way: str, address: str) -> None:
    made, server = place
    ballast = made.module / "src/sales_report_dagster/ballast"
    ballast.write_bytes(os.urandom(24 << 20))
    made.change(registry=address if way == "registry" else "none")
    try:
        with (
            made.there_runs.filled(8 << 20),
            pytest.raises(BuilderError, match=r"(?s)Nothing was switched.*no (room|space)"),
        ):
            made.deploy()
    finally:
        ballast.unlink()
        made.change(registry=address)
    assert made.server == server


def test_registry_away_and_digest_gone(made: QuickPlace, registry_folder: Path, address: str) -> None:
    first = (made.there / "current").readlink().name
    made.deploy()
    server = made.server
    made.change(registry="127.0.0.1:9")
    with pytest.raises(BuilderError, match=r"could not be pushed.*Check that the registry 127.0.0.1:9 is reachable"):
        made.deploy()
    made.change(registry=address)
    image = json.loads((made.there / "releases" / first / "RELEASE.json").read_text())["image"]
    until = time.monotonic() + 60
    while made.there_runs.containers() != {server}:
        assert time.monotonic() < until
        time.sleep(0.1)
    made.there_runs.docker("image", "rm", "--force", image, f"dagster-module-builder/{MODULE}:{first}")
    shutil.rmtree(registry_folder / "blobs")
    with pytest.raises(BuilderError, match=r"(?s)Nothing was switched.*Deploy its commit again"):
        roll_back(find(made.root, "yoda"))
    assert made.server == server
    assert made.there_runs.containers() == {server}


@pytest.fixture(scope="module", autouse=True)
def cut_off(
    tmp_path_factory: pytest.TempPathFactory,
    builder: None,
    engine: Engine,
    engine_of_host: HostEngine,
) -> Iterator[tuple[QuickPlace, threading.Thread, list[str], CutWire]]:
    """Begin to push over a wire that breaks for good; Docker takes a minute to give up, and the other tests go on."""
    needs.program("docker-registry")
    folder = tmp_path_factory.mktemp("cut")
    with registry(folder / "registry") as behind, CutWire(behind, after=4 << 20) as wire:
        for host in host_of(folder / "hosts", engine_of_host):
            root = folder / "workspace"
            for place in quick_place(root, host, engine, engine_of_host, wire.address):
                (place.module / "src/sales_report_dagster/ballast").write_bytes(os.urandom(16 << 20))
                said: list[str] = []
                thread = threading.Thread(target=_try, args=(place, said))
                thread.start()
                yield place, thread, said, wire
                thread.join(120)


def _try(place: QuickPlace, said: list[str]) -> None:
    try:
        said.append(place.deploy())
    except BuilderError as error:
        said.append(str(error))


def test_push_cut_off(cut_off: tuple[QuickPlace, threading.Thread, list[str], CutWire]) -> None:
    place, thread, said, wire = cut_off
    thread.join(120)
    assert wire.was_cut
    assert "could not be pushed" in said[0]
    assert f"Check that the registry {wire.address} is reachable" in said[0]
    # The host was asked whether it would take a release, and got nothing.
    assert not (place.there / "releases").exists()
    wire.repair()
    release = place.deploy()
    assert place.dagster.locations()["sales_report"]["release"].endswith(release)
