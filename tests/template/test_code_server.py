"""The health check of a module's own code server passes when the server serves, and only then."""

from __future__ import annotations

import os
import re
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests import needs
from tests.ports import free_port
from tests.template import environment

if TYPE_CHECKING:
    from tests.template.rendering import Desk

pytestmark = [pytest.mark.dagster, pytest.mark.matrix, pytest.mark.slow]

PATIENCE = 120  # seconds until the server has imported Dagster and the module


def test_the_health_check_follows_the_real_server(desk: Desk):
    needs.registry()
    rendering = desk.rendered(code_server="own", starter="empty")
    dockerfile = rendering.text("Dockerfile")
    port = free_port()
    variables = {
        "PATH": f"{environment.made().folder}/bin:{os.environ['PATH']}",
        "PYTHONPATH": str(rendering.module / "src"),
        "DAGSTER_HOME": str(desk.home),
    }
    # The program of the image's health check, asking another port.
    module = re.search(r'CMD \["python3", "-m", "([\w.]+)"\]', dockerfile)
    assert module
    check = ["python", "-c", f"import sys; from {module[1]} import serves; sys.exit(not serves('127.0.0.1:{port}'))"]
    command = re.findall(r'"([^"]+)"', dockerfile.rstrip().splitlines()[-1])
    command[command.index("4000")] = str(port)

    def healthy() -> bool:
        return subprocess.run(check, env=variables, capture_output=True, check=False).returncode == 0

    assert not healthy()
    with subprocess.Popen(command, env=variables, cwd=desk.root, stderr=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + PATIENCE
            while not healthy():
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.5)
        finally:
            server.terminate()
    assert not healthy()
