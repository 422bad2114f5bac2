"""What a host decides of its code servers without starting one."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from dagster_module_builder.deploy.host_side import images, server_start, servers
from dagster_module_builder.deploy.host_side.errors import RefusedError
from dagster_module_builder.deploy.host_side.host import Host
from tests.deploy.host_here import host_here


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return host_here(tmp_path)


def note(host: Host, name: str, port: int) -> None:
    """Write down a server as one that was started, and perhaps stopped since."""
    folder = Path(servers.folder_of(host, "stock", name))
    folder.mkdir(parents=True)
    (folder / "server.json").write_text(json.dumps({"port": port}))


def test_a_port_that_a_server_has_or_listens_on_is_not_given(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as busy, socket.socket() as free:
        for one in (busy, free):
            one.bind(("127.0.0.1", 0))
        taken, left = busy.getsockname()[1], free.getsockname()[1]
        free.close()
        monkeypatch.setattr(server_start, "PORTS", (taken, left))
        assert server_start.free_port(host) == {"port": left}
        note(host, "stopped", left)
        with pytest.raises(RefusedError, match="No port"):
            server_start.free_port(host)


def test_two_that_look_at_once_find_different_ports(host: Host) -> None:
    """There is no listener yet on what the first one found; the same one is found once in two hundred times."""
    found = [server_start.free_port(host)["port"] for _ in range(40)]
    assert len(set(found)) > 20


@pytest.mark.parametrize(("built_for", "said"), [("arm64", "is for arm64, and this host is amd64"), ("amd64", "")])
def test_an_image_for_another_processor_is_named(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, built_for: str, said: str
) -> None:
    docker = tmp_path / "bin/docker"
    docker.parent.mkdir()
    docker.write_text(f'#!/bin/sh\nif [ "$1" = version ]; then echo amd64; else echo {built_for}; fi\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker.parent}:{os.environ['PATH']}")
    assert said in (images.foreign(host, "sales:1") or "")
    assert (images.foreign(host, "sales:1") is None) is (said == "")
