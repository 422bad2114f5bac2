"""The faults of ``test_faults.py`` on a host with several file systems, and links to them (FAULTS B1)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy import spread
from tests.deploy.cut_off import (
    STEPS,
    Served,
    cut_connection,
    kill_client,
    kill_host_side_between_files,
    kill_sshd,
    served,
)
from tests.deploy.half_built import kill_the_hosts_side, lose_host
from tests.deploy.sites import Site, quick_sites

__all__ = ["served"]

#: The steps that are hit; with DEPLOY_FAULTS=all every one in which something of the host's may be half done.
HIT = STEPS[1:] if os.environ.get("DEPLOY_FAULTS") == "all" else ["switch"]


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Site]:
    """Give a host whose modules, workspace file and settings are on a file system each."""
    for sites in quick_sites(tmp_path, 1):
        with spread.file_systems(sites.sites[0].host.base):
            yield sites.sites[0]


@pytest.mark.parametrize("step", HIT)
def test_client_killed(served: Served, step: str) -> None:
    kill_client(served, step)


@pytest.mark.parametrize("step", HIT)
def test_connection_cut(served: Served, step: str) -> None:
    cut_connection(served, step)


@pytest.mark.parametrize("step", HIT)
def test_sshd_killed(served: Served, step: str) -> None:
    kill_sshd(served, step)


def test_host_side_killed_between_files(served: Served) -> None:
    kill_host_side_between_files(served)


def test_host_side_killed_while_an_environment_is_built(served: Served) -> None:
    lose_host(served, kill_the_hosts_side)
