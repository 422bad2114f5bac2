"""Whatever breaks while an environment is built: the old release serves, and nothing half-built is ever used."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.deploy import deploy
from dagster_module_builder.deploy.hosts import host_preparation
from dagster_module_builder.deploy.model.deployment import find
from tests.deploy.conftest import Site
from tests.deploy.modules import set_value
from tests.deploy.quick_dagster import PYTHON
from tests.deploy.test_faults import (
    OPTIONS,
    assert_as_before,
    await_free,
    change,
    fill,
    host_scripts,
    served,  # noqa: F401 - a fixture
    small_disk,  # noqa: F401 - a fixture
)

#: A Python whose environments are nothing but itself and four megabytes, and take a second, as if they came from afar.
SLOW_PYTHON = """\
#!/bin/sh
case "$1 $2" in
    "-m venv") mkdir -p "$3/bin" && exec cp "$0" "$3/bin/python" ;;
    "-m pip") head -c 100000 /dev/zero >half && sleep 1 && exec head -c 4000000 /dev/zero >whole ;;
    "-c "*) exec python3 "$@" ;;
esac
""" + PYTHON.partition("\n")[2]

Served = tuple[Site, str, dict[str, bytes]]


def wants_an_environment(site: Site) -> None:
    """Let the next release have an environment of its own."""
    python = site.host.folder / "slow-python"
    python.write_text(SLOW_PYTHON)
    python.chmod(0o755)
    change(site, environment={"kind": "venv", "python": str(python)})
    # No uv: it would make the environment itself.
    site.host.environ["PATH"] = "/usr/bin:/bin"
    site.host.restart()


def deploy_and(site: Site, strike: Callable[[], object]) -> None:
    """Deploy, and do something when half of the environment is there."""

    def wait() -> None:
        until = time.monotonic() + 60
        while not [*site.there.glob("venvs/*/half")] and time.monotonic() < until:
            time.sleep(0.01)
        strike()

    threading.Thread(target=wait, daemon=True).start()
    deploy(find(site.root, "yoda"), OPTIONS)


def assert_nothing_half_built(site: Site) -> None:
    environments = [*site.there.glob("venvs/*")]
    assert environments
    assert [path for path in environments if not (path / ".complete").exists() or not (path / "whole").exists()] == []


def test_client_killed(served: Served) -> None:  # noqa: F811 - a fixture
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


def kill_the_hosts_side(site: Site) -> None:
    for pid in host_scripts(site):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("fault", [cut, kill_sshd, kill_the_hosts_side])
def test_host_lost(served: Served, fault: Callable[[Site], None]) -> None:  # noqa: F811 - a fixture
    site, release, files = served
    wants_an_environment(site)
    with pytest.raises(BuilderError, match=r"see 'deploy\.status'"):
        deploy_and(site, lambda: fault(site))
    assert_as_before(site, release, files)
    assert_nothing_half_built(site)


def test_disk_full(small_disk: Site, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811 - a fixture
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
