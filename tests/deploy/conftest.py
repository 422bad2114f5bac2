"""A host with a real sshd and a real Dagster for the tests of deployments."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import uv

from tests import needs
from tests.deploy import dagster_host, sshd
from tests.deploy.dagster_host import DagsterHost
from tests.deploy.host_engine import HostEngine, host_engine
from tests.deploy.modules import make_deployment, make_module
from tests.deploy.sites import Site, quick_sites
from tests.deploy.sshd import SshHost
from tests.e2e.engine import Engine


@pytest.fixture(scope="session")
def dagster_python() -> str:
    return dagster_host.python()


@pytest.fixture(scope="session")
def engine_of_host(engine: Engine) -> Iterator[HostEngine]:
    """Give a host a separate engine: whatever is built here has to travel, and other runs of tests are elsewhere."""
    with host_engine(engine) as made:
        yield made


@pytest.fixture(scope="session")
def yard(tmp_path_factory: pytest.TempPathFactory, dagster_python: str) -> Iterator[tuple[SshHost, DagsterHost]]:
    """Give one host with one Dagster, which takes seconds to start, to all tests."""
    needs.programs("rsync", "git")
    # The host's own uv, which keeps what it fetched in the cache of this machine.
    program = Path(uv.find_uv_bin())
    cache = subprocess.run([program, "cache", "dir"], check=True, capture_output=True, text=True).stdout.strip()
    named = re.compile("UV_|PIP_|SSL_|https?_proxy$", re.IGNORECASE)
    registries = {key: value for key, value in os.environ.items() if named.match(key)}
    environ = {**registries, "PATH": f"{program.parent}:/usr/bin:/bin", "UV_CACHE_DIR": cache}
    with sshd.hosts(tmp_path_factory.mktemp("yard"), environ=environ) as (host,):
        dagster = DagsterHost(host.base)
        try:
            dagster.start(daemon=False)
            yield host, dagster
        finally:
            dagster.stop()


@pytest.fixture
def site(tmp_path: Path, yard: tuple[SshHost, DagsterHost], dagster_python: str) -> Iterator[Site]:
    host, dagster = yard
    root = tmp_path / "workspace"
    module = make_module(root)
    (host.base / "modules").mkdir(parents=True)
    make_deployment(module, [host], [dagster.url], dagster_python)
    yield Site(root, module, host, dagster)
    host.empty()
    dagster.reset()


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Site]:
    for sites in quick_sites(tmp_path, 1):
        yield sites.sites[0]
