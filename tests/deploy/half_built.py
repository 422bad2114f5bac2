"""Environments that a fault meets while they are built."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.deploy import deploy
from dagster_module_builder.deploy.model.deployment import find
from tests.deploy.cut_off import OPTIONS, Served, assert_as_before, change, host_scripts
from tests.deploy.quick_dagster import PYTHON
from tests.deploy.sites import Site

#: A Python whose environments are nothing but itself and four megabytes, and take a second, as if they came from afar.
SLOW_PYTHON = """\
#!/bin/sh
case "$1 $2" in
    "-m venv") mkdir -p "$3/bin" && exec cp "$0" "$3/bin/python" ;;
    "-m pip") head -c 100000 /dev/zero >half && sleep 1 && exec head -c 4000000 /dev/zero >whole ;;
    "-c "*) exec python3 "$@" ;;
esac
""" + PYTHON.partition("\n")[2]


def wants_an_environment(site: Site) -> None:
    """Let the next release have a separate environment."""
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


def kill_the_hosts_side(site: Site) -> None:
    for pid in host_scripts(site):
        os.kill(pid, signal.SIGKILL)


def lose_host(served: Served, fault: Callable[[Site], None]) -> None:
    site, release, files = served
    wants_an_environment(site)
    with pytest.raises(BuilderError, match=r"see 'deploy\.status'"):
        deploy_and(site, lambda: fault(site))
    assert_as_before(site, release, files)
    assert_nothing_half_built(site)
