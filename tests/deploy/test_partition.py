"""A partition: two network namespaces, and the wire between them cut without a word to either side."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from benchmarks.far_wire import FAR, Wire, wire
from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.deploy import Options, deploy
from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.status import status
from tests import needs
from tests.deploy.modules import make_deployment, make_module, set_value, simplify
from tests.deploy.namespaces import inside
from tests.deploy.quick_dagster import QuickDagster
from tests.deploy.sites import Site
from tests.deploy.sshd import SshHost, make_key

OPTIONS = Options(allow_dirty=True, settle=False)


def make_site(folder: Path, link: Wire, number: int) -> Site:
    """Make a workspace on this side of the wire, and a host on the other."""
    folder.mkdir()
    root = folder / "workspace"
    module = simplify(make_module(root))
    host = SshHost(folder / "host", FAR, 2200 + number, make_key(folder / "key"), namespace=link.far)
    host.start()
    dagster: QuickDagster = inside(link.far, lambda: QuickDagster(host.base)).result(10)
    make_deployment(module, [host], [dagster.url], dagster.prepare())
    return Site(root, module, host, dagster)


@pytest.fixture
def parted(tmp_path: Path) -> Iterator[tuple[Wire, Site, Site]]:
    needs.root()
    needs.programs("ip", "gcc", "rsync")
    with wire(f"parted{os.getpid()}", 1) as link:
        sites = [make_site(tmp_path / str(number), link, number) for number in range(2)]
        try:
            yield link, *sites
        finally:
            link.heal()
            for site in sites:
                site.host.stop()
                site.dagster.stop()


def is_free(site: Site) -> bool:
    """Tell whether no one deploys to a host, as its kernel knows it."""
    with (site.host.base / "modules/.lock").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def await_all(what: Callable[[], bool], limit: float) -> None:
    until = time.monotonic() + limit
    while not what():
        assert time.monotonic() < until
        time.sleep(0.002)


@pytest.mark.slow
def test_partition_in_transfer_and_in_switch(parted: tuple[Wire, Site, Site]) -> None:
    """The old releases serve, the locks are free within a minute, and the next commands find no scraps."""
    link, sending, switching = parted
    sites = [sending, switching]

    def start(site: Site) -> Future[Any]:
        return inside(link.near, lambda: deploy(find(site.root, "yoda"), OPTIONS))

    old = [one.result(60)[0].releases["sales-report"] for one in [start(site) for site in sites]]
    files = [(site.host.base / "workspace.yaml").read_bytes() for site in sites]
    for site in sites:
        set_value(site.module, 2)
    (sending.module / "big.bin").write_bytes(os.urandom(40 << 20))
    parted_at: list[float] = []
    second: list[Future[Any]] = []

    def on_request(query: str) -> None:
        if "reloadWorkspace" in query and not second:
            second.append(start(sending))
            # What has arrived so far has a name of rsync's own.
            await_all(lambda: any(sending.there.glob("releases/*.tmp/.big.bin.*")), 30)
            link.part()
            parted_at.append(time.monotonic())

    switching.dagster.on_request = on_request
    first = start(switching)
    await_all(lambda: bool(parted_at) or first.done(), 60)
    assert not is_free(sending)
    assert not is_free(switching)
    await_all(lambda: all(map(is_free, sites)), 60)
    assert [site.running() for site in sites] == [site.current() for site in sites] == old
    assert [(site.host.base / "workspace.yaml").read_bytes() for site in sites] == files
    assert time.monotonic() - parted_at[0] < 60
    for lost in (first, *second):
        with pytest.raises(BuilderError, match=r"by itself[;:] see 'deploy.status'"):
            lost.result(60)
    link.heal()
    for site in sites:
        (found,) = inside(link.near, lambda site=site: status(find(site.root, "yoda"))).result(60)
        assert found["lock"] is None
    new = [start(site).result(60)[0].releases["sales-report"] for site in sites]
    assert [site.running() for site in sites] == new
    assert not [name for site in sites for name in site.releases() if name.endswith(".tmp")]
