"""The faults of ``test_faults.py`` on a host with several file systems, and links to them (FAULTS B1)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy import spread, test_environment_faults, test_faults
from tests.deploy.conftest import Site, quick_sites
from tests.deploy.test_faults import served  # noqa: F401 - a fixture

#: The steps that are hit; with DEPLOY_FAULTS=all every one in which something of the host's may be half done.
STEPS = test_faults.STEPS[1:] if os.environ.get("DEPLOY_FAULTS") == "all" else ["switch"]

Served = tuple[Site, str, dict[str, bytes]]


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Site]:
    """Give a host whose modules, workspace file and settings are on a file system each."""
    for sites in quick_sites(tmp_path, 1):
        with spread.file_systems(sites.sites[0].host.base):
            yield sites.sites[0]


@pytest.mark.parametrize("step", STEPS)
def test_client_killed(served: Served, step: str) -> None:  # noqa: F811 - a fixture
    test_faults.test_client_killed(served, step)


@pytest.mark.parametrize("step", STEPS)
def test_connection_cut(served: Served, step: str) -> None:  # noqa: F811 - a fixture
    test_faults.test_connection_cut(served, step)


@pytest.mark.parametrize("step", STEPS)
def test_sshd_killed(served: Served, step: str) -> None:  # noqa: F811 - a fixture
    test_faults.test_sshd_killed(served, step)


def test_host_side_killed_between_files(served: Served) -> None:  # noqa: F811 - a fixture
    test_faults.test_host_side_killed_between_files(served)


def test_host_side_killed_while_an_environment_is_built(served: Served) -> None:  # noqa: F811 - a fixture
    test_environment_faults.test_host_lost(served, test_environment_faults.kill_the_hosts_side)
