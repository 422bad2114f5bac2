"""Whatever breaks while an environment is built: the old release serves, and nothing half-built is ever used."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable

import pytest

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.hosts import host_preparation
from tests.deploy.cut_off import Served, assert_as_before, await_free, fill, served, small_disk
from tests.deploy.half_built import (
    assert_nothing_half_built,
    deploy_and,
    kill_the_hosts_side,
    lose_host,
    wants_an_environment,
)
from tests.deploy.modules import set_value
from tests.deploy.sites import Site

__all__ = ["served", "small_disk"]


def test_client_killed(served: Served) -> None:
    site, release, files = served
    wants_an_environment(site)

    def run() -> None:
        os.setsid()
        deploy_and(site, lambda: os.kill(os.getpid(), signal.SIGKILL))

    client = multiprocessing.get_context("fork").Process(target=run)
    client.start()
    client.join(60)
    assert client.exitcode == -signal.SIGKILL
    assert_as_before(site, release, files)
    assert_nothing_half_built(site)


def cut(site: Site) -> None:
    site.host.cut()


def kill_sshd(site: Site) -> None:
    site.host.kill()
    site.host.start()


@pytest.mark.parametrize("fault", [cut, kill_sshd, kill_the_hosts_side])
def test_host_lost(served: Served, fault: Callable[[Site], None]) -> None:
    lose_host(served, fault)


def test_disk_full(small_disk: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_preparation, "ENVIRONMENT", 8 << 20)
    (first,) = small_disk.deploy()
    set_value(small_disk.module, 2)
    wants_an_environment(small_disk)
    with pytest.raises(BuilderError, match=r"(?s)environment of sales-report could not be built.*No space left"):
        deploy_and(small_disk, lambda: fill(small_disk))
    (small_disk.host.base / "filler").unlink()
    await_free(small_disk)
    assert small_disk.running() == small_disk.current() == first.releases["sales-report"]
    assert [*small_disk.there.glob("venvs/*")] == []
    (second,) = small_disk.deploy()
    assert small_disk.running() == second.releases["sales-report"]
    assert_nothing_half_built(small_disk)
