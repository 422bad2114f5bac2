"""Programs of the host's: a strategy's steps, and what has to run where Dagster runs."""

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

#: Starts a program with the settings in a file.
START_WITH = (
    "import json, os, sys; os.environ.pop('PYTHONPATH', None); os.environ.update(json.load(open(sys.argv[1]))); "
    "os.execvp(sys.argv[2], sys.argv[2:])"
)


def run_step(
    host: Host,
    command: list[str],
    given: str | None = None,
    cwd: str | None = None,
    limit: float | None = 600,
    environ: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Run a step of a strategy's."""
    text = None if given is None else base64.b64decode(given)
    code, said = host.client.run(command, text, limit, cwd=cwd or host.base, env={**os.environ, **(environ or {})})
    return {"code": code, "said": said[-20000:]}


def seen_from(host: Host, where: dict[str, Any] | None, path: str) -> str:
    """Return a path below the base as it is where Dagster runs."""
    return path if where is None else where["inside"] + path[len(host.base) :]


def run_where(
    host: Host, where: dict[str, Any] | None, command: Sequence[str], cwd: str, limit: float, settings: dict[str, str]
) -> tuple[int, str]:
    """Run a command where Dagster runs: here, or in its container.

    Args:
        host: This one.
        where: How to get there (``prefix``, ``service``), and where the base is there (``inside``); None is here.
        command: The command.
        cwd: The folder to run it in, as it is here.
        limit: Seconds until it is ended.
        settings: Variables for it. A container is told them by a file: its command line can be read by everybody.
    """
    if where is None:
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return host.client.run(command, None, limit, cwd=cwd, env={**clean, **settings})
    path = os.path.join(cwd, ".settings.json")
    put(path, json.dumps(settings).encode(), 0o600, lasting=False)
    there = [*where["prefix"], "-w", seen_from(host, where, cwd), where["service"]]
    start = ["python3", "-c", START_WITH, seen_from(host, where, path)]
    try:
        return host.client.run([*there, *start, *command], None, limit)
    finally:
        os.unlink(path)


def ask_where(host: Host, where: dict[str, Any] | None, command: Sequence[str], cwd: str, answer: str) -> str:
    """Return the line with which a program answers where Dagster runs.

    Its exit status alone would not do: what leads there (Compose, a container's Python) fails with the same ones.

    Args:
        host: This one.
        where: How to get there; None is here.
        command: The program and its arguments.
        cwd: The folder to run it in, as it is here.
        answer: What that line is, as a regular expression.

    Raises:
        RefusedError: It failed, or said no such line.
    """
    status, said = run_where(host, where, command, cwd, 60, {})
    lines = [line.strip() for line in said.splitlines() if re.fullmatch(answer, line.strip())]
    if status or not lines:
        raise failed("tool", command, status, said)
    return lines[-1]


def settle_daemon(host: Host, command: str | None, limit: float) -> dict[str, Any]:
    """See to it that the daemon knows the workspace of now."""
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
