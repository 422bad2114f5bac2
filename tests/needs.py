"""What a test needs of the machine: without it the test is skipped, with the reason; under CI it fails.

``CI=true`` (as GitHub sets it) means that the machine was prepared by ``.ci/install-system-packages``: a lack is a
defect there, and a skipped test would hide it.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

INSTALL = "install it with .ci/install-system-packages"


def on_ci() -> bool:
    """Tell whether this machine promises to have everything."""
    return os.environ.get("CI", "").lower() in {"1", "true"}


def lacking(what: str, cure: str = INSTALL) -> NoReturn:
    """Skip the running test because ``what`` is missing here; fail it under CI."""
    reason = f"needs {what}: {cure}"
    if on_ci():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def need(present: bool, what: str, cure: str = INSTALL) -> None:
    """Go on if ``present``, else skip or fail as ``lacking`` does."""
    if not present:
        lacking(what, cure)


def found(name: str) -> Path | None:
    """Return where ``name`` is: beside Python, on PATH, or among the system programs that are not on all paths."""
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), "/usr/local/sbin:/usr/sbin:/sbin"]
    where = shutil.which(name, path=os.pathsep.join(places))
    return Path(where) if where else None


def program(name: str) -> Path:
    """Return where the program ``name`` is."""
    where = found(name)
    if where is None:
        lacking(f"the program {name!r}")
    return where


def programs(*names: str) -> None:
    """Need every one of these programs."""
    for name in names:
        program(name)


def module(name: str) -> None:
    """Need the Python module ``name`` beside pytest."""
    need(importlib.util.find_spec(name) is not None, f"the Python module {name!r}", "install the test requirements")


def root() -> None:
    """Need the rights of root."""
    need(os.geteuid() == 0, "root", "run the tests as root, or in a container where you are")


def docker() -> None:
    """Need a Docker Engine that answers now; tests/e2e/engine.py starts one."""
    program("docker")
    need(engine_answers(), "a running Docker Engine", "start dockerd, or set DOCKER_HOST")


def engine_answers(host: str | None = None) -> bool:
    """Tell whether the Docker Engine at ``host``, by default the one that the environment names, answers."""
    environ = {**os.environ, **({"DOCKER_HOST": host} if host else {})}
    client = found("docker")
    if client is None:
        return False
    answer = subprocess.run(
        [client, "version", "--format", "{{.Server.Version}}"],
        env=environ,
        capture_output=True,
        timeout=20,
        check=False,
    )
    return answer.returncode == 0


@functools.cache
def _reachable(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=10):
            return True
    except OSError:
        return False


def registry(host: str = "pypi.org", port: int = 443) -> None:
    """Need a package registry that accepts connections."""
    need(_reachable(host, port), f"a connection to {host}", "connect this machine to it")
