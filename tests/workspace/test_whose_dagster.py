"""What listens on the workspace's port is told of changes, and reported of, only where it is the workspace's."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.health import running_dagster
from dagster_module_builder.health.find_dagster import RunningDagster, find_running
from dagster_module_builder.native.native_environment import process_environment
from dagster_module_builder.programs import graphql
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.workspace import read_workspace
from tests.engine.folders import make_module, make_workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def webserver(instance: Path) -> Iterator[tuple[int, list[str]]]:
    """Answer as Dagster's webserver with this instance does, and note each query; give the port and the notes."""
    asked: list[str] = []
    info = f"local_artifact_storage:\n  module: dagster\n  config:\n    base_dir: {instance}\n"
    answers = {"instance": {"info": info}, "reloadWorkspace": {"__typename": "Workspace"}}
    answers |= {"workspaceOrError": {"__typename": "Workspace", "locationEntries": []}}

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({"dagster_webserver_version": "1.13"})

        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["query"])
            self._answer({"data": answers})

        def _answer(self, data: object) -> None:
            text = json.dumps(data).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port, asked
        finally:
            server.shutdown()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "ws")


def listen_at(root: Path, port: int) -> None:
    (root / "services/dagster/.env").write_text(f"DAGSTER_PORT='{port}'\n")


def added(root: Path) -> list[str]:
    make_module(root, "sales")
    return list(running_dagster.tell_dagster(root, add_module(root, "sales")))


def test_a_dagster_of_another_folder_is_left_alone_and_named(root: Path, tmp_path: Path) -> None:
    """FAULTS C2: another checkout's Dagster on the port is neither told to reload nor reported as this workspace's."""
    theirs = tmp_path / "other/.native/home"
    with webserver(theirs) as (port, asked):
        listen_at(root, port)
        (said,) = added(root)
    assert said == (
        f"The Dagster at http://127.0.0.1:{port} is not this workspace's, and was not asked to load the change. "
        f"Its instance is {theirs}."
    )
    assert [query for query in asked if "mutation" in query] == []


def test_a_dagster_whose_instance_lies_in_the_workspace_is_told(root: Path) -> None:
    """FAULTS C2: its instance's folder shows that a Dagster is this workspace's, however it was started."""
    with webserver(root / ".native/home") as (port, asked):
        listen_at(root, port)
        assert find_running(read_workspace(root)) == RunningDagster(f"http://127.0.0.1:{port}")
        said = added(root)
    assert any("reloadWorkspace" in query for query in asked)
    assert "not this workspace's" not in "\n".join(said)


ASKING = "import sys; from dagster_module_builder.programs import graphql; sys.exit(not graphql.is_up(sys.argv[1]))"


def test_a_proxy_is_not_asked_for_a_webserver_of_this_machine(root: Path) -> None:
    """FAULTS E10: with http_proxy set, the Dagster that runs here is found all the same."""
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy"), "http://127.0.0.1:9")
    environment = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"} | proxies
    with webserver(root) as (port, _):
        url = f"http://127.0.0.1:{port}"
        assert subprocess.run([sys.executable, "-c", ASKING, url], env=environment, check=False).returncode == 0
        listen_at(root, port)
        assert isinstance(find_running(read_workspace(root)), RunningDagster)
    assert find_running(read_workspace(root)) is None


def test_native_dagster_asks_no_proxy_for_this_machine(root: Path) -> None:
    """FAULTS E10: Dagster's own processes speak to each other past a proxy, and whatever was excepted stays so."""
    given = {"http_proxy": "http://127.0.0.1:9", "NO_PROXY": "intranet"}
    environment = process_environment(root, given)
    for name in ("no_proxy", "NO_PROXY"):
        assert environment[name].split(",") == ["intranet", "localhost", "127.0.0.1", "::1"]


def test_what_speaks_no_http_is_no_dagster(root: Path) -> None:
    """FAULTS C2: a database's greeting on a port of the workspace is no answer, and no error of this program's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        threading.Thread(target=greet, args=(server,), daemon=True).start()
        listen_at(root, port)
        assert find_running(read_workspace(root)) is None
        with pytest.raises(ToolError):
            graphql.location_states(f"http://127.0.0.1:{port}")


def greet(server: socket.socket) -> None:
    """Say what MariaDB says to whoever connects."""
    for _ in range(2):
        connection, _address = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"d\x00\x00\x00\n11.4.2-MariaDB\x00")
