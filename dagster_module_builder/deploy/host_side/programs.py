"""Programs that run on the host: a strategy's steps, and commands inside Dagster's container."""

from __future__ import annotations

import base64
import json
import os
import re
import time

from .client import tail
from .errors import RefusedError
from .files import put
from .outside import failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .host import Host

#: Starts a program with the variables in a file.
START_WITH = (
    "import json, os, sys; os.environ.pop('PYTHONPATH', None); os.environ.update(json.load(open(sys.argv[1]))); "
    "os.execvp(sys.argv[2], sys.argv[2:])"
)


def run_step(
    host: Host,
    command: list[str],
    stdin: str | None = None,
    cwd: str | None = None,
    limit: float | None = 600,
    environ: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Run a command of a strategy; return its exit status and the end of its output."""
    text = None if stdin is None else base64.b64decode(stdin)
    code, said = host.client.run(command, text, limit, cwd=cwd or host.base, env={**os.environ, **(environ or {})})
    return {"code": code, "said": said[-20000:]}


def seen_from(host: Host, where: dict[str, Any] | None, path: str) -> str:
    """Return a path below the base as Dagster sees it, in its container or on this host."""
    return path if where is None else where["inside"] + path[len(host.base) :]


def run_where(
    host: Host, where: dict[str, Any] | None, command: Sequence[str], cwd: str, limit: float, settings: dict[str, str]
) -> tuple[int, str]:
    """Run a command where Dagster runs: on this host or in its container.

    Args:
        host: This host.
        where: How to get into the container (``prefix``, ``service``), and the base path there (``inside``); None for
            this host.
        command: The command.
        cwd: The folder to run it in, as a path on this host.
        limit: Seconds until it is killed.
        settings: Variables for it. A container gets them in a file: every user can read its command line.
    """
    if where is None:
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return host.client.run(command, None, limit, cwd=cwd, env={**clean, **settings})
    path = os.path.join(cwd, ".settings.json")
    put(path, json.dumps(settings).encode(), 0o600, lasting=False)
    container = [*where["prefix"], "-w", seen_from(host, where, cwd), where["service"]]
    start = ["python3", "-c", START_WITH, seen_from(host, where, path)]
    try:
        return host.client.run([*container, *start, *command], None, limit)
    finally:
        os.unlink(path)


def ask_where(host: Host, where: dict[str, Any] | None, command: Sequence[str], cwd: str, answer: str) -> str:
    """Run a program where Dagster runs, and return the line of its output that is the answer.

    The exit status alone is not enough: Compose and a container's Python fail with the same ones.

    Args:
        host: This host.
        where: How to get into the container; None for this host.
        command: The program and its arguments.
        cwd: The folder to run it in, as a path on this host.
        answer: The pattern of the line.

    Raises:
        RefusedError: It failed, or printed no such line.
    """
    status, said = run_where(host, where, command, cwd, 60, {})
    lines = [line.strip() for line in said.splitlines() if re.fullmatch(answer, line.strip())]
    if status or not lines:
        raise failed("tool", command, status, said)
    return lines[-1]


def settle_daemon(host: Host, command: str | None, limit: float) -> dict[str, Any]:
    """Restart the daemon with a command, or wait until it has read the workspace by itself."""
    if command and not host.dagster.runs():
        code, said = host.client.run(["/bin/sh", "-c", command], limit=120, cwd=host.base)
        if code:
            raise RefusedError("daemon", f"{command!r} failed on the host: {tail(said)}")
        return {"restarted": True}
    until = time.monotonic() + limit
    while time.monotonic() < until:
        host.client.check()
        time.sleep(0.2)
    return {"restarted": False}
