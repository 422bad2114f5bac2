"""Hooks of a deployment: programs of its owner that run here between two steps, and what the log keeps of them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

from . import logbook
from .files import put

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .host import Host


#: Seconds that all hooks for a failure have which run without a client.
ALONE = 60.0


def run_hook(
    host: Host,
    module: str,
    identity: str,
    limit: int,
    environ: dict[str, str],
    command: str | None = None,
    attached: bytes | None = None,
) -> dict[str, Any]:
    """Run a hook in the release's folder; return its exit status and the end of its output.

    Args:
        host: This host.
        module: The module.
        identity: The release; until the switch its folder ends with ``.tmp``.
        limit: Seconds until it is killed, with its children.
        environ: Variables for it.
        command: A line for the shell.
        attached: A program, instead of the line.
    """
    with startable(host, module, identity, environ, command, attached) as (started, options):
        code, said, _ = host.client.outcome(started, None, limit, stderr=subprocess.STDOUT, **options)
    return {"code": code, "said": said[-20000:]}


@contextlib.contextmanager
def startable(
    host: Host, module: str, identity: str, environ: dict[str, str], command: str | None, attached: bytes | None
) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """Yield what starts a hook, and the folder and the variables that it starts with; see ``run_hook``."""
    release = host.release(module, identity)
    folder = next((path for path in (release, f"{release}.tmp") if os.path.isdir(path)), host.base)
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    variables = {**clean, **environ, "DEPLOY_RELEASE_FOLDER": folder}
    program = os.path.join(host.modules, f".hook.{module}")
    try:
        if attached is not None:
            put(program, attached, 0o700, lasting=False)
        yield ["/bin/sh", "-c", str(command)] if attached is None else [program], {"cwd": folder, "env": variables}
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(program)


def leave_hook(host: Host, name: str, where: str, **values: Any) -> dict[str, Any]:
    """Note a hook that this host runs by itself if the client is gone before the change is kept or undone.

    Args:
        host: This host.
        name: The hook, for the log.
        where: What the client calls this host, for the log.
        values: Those of ``run_hook``.
    """
    host.left_hooks.append({"name": name, "where": where, "values": values})
    return {}


def run_left(host: Host) -> None:
    """Run the hooks that a client left which is gone, once everything is undone; the lock is free meanwhile.

    Their output is not kept: only the client knows what in it is secret.
    """
    if not host.left_hooks:
        return
    host.client.undone.set()
    if host.lock is not None:
        host.lock.close()
        host.lock = None
    until = time.monotonic() + ALONE
    for hook in host.left_hooks:
        started = time.monotonic()
        limit = min(float(hook["values"].pop("limit")), until - started)
        code = run_alone(host, max(0.0, limit), **hook["values"])
        seconds = round(time.monotonic() - started, 1)
        entry = {"hook": "on_failure", "name": hook["name"], "where": hook["where"], "code": code, "seconds": seconds}
        log_hooks(host, hook["values"]["module"], [{**entry, "said": ""}])


def run_alone(
    host: Host,
    limit: float,
    module: str,
    identity: str,
    environ: dict[str, str],
    command: str | None = None,
    attached: bytes | None = None,
) -> int:
    """Run a hook that no client waits for; return its exit status, negative for the signal that ended it."""
    silent = subprocess.DEVNULL
    with startable(host, module, identity, environ, command, attached) as (started, options):
        try:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                started, stdin=silent, stdout=silent, stderr=silent, start_new_session=True, **options
            )
        except OSError:
            return 127
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait()


def log_hooks(host: Host, module: str, hooks: list[Any]) -> dict[str, Any]:
    """Add to a module's log what its hooks said."""
    if host.begun is not None:
        logbook.add(host, [module], {"id": host.begun["id"], "event": "hooks", "hooks": hooks})
    return {}
