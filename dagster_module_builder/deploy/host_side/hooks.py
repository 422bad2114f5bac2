"""Hooks of a deployment: programs of its owner that run here between two steps, and what the log keeps of them."""

from __future__ import annotations

import contextlib
import os
import subprocess

from . import logbook
from .files import put

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .host import Host


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
    release = host.release(module, identity)
    folder = next((path for path in (release, f"{release}.tmp") if os.path.isdir(path)), host.base)
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    variables = {**clean, **environ, "DEPLOY_RELEASE_FOLDER": folder}
    program = os.path.join(host.modules, f".hook.{module}")
    try:
        if attached is not None:
            put(program, attached, 0o700, lasting=False)
        started = ["/bin/sh", "-c", str(command)] if attached is None else [program]
        code, said, _ = host.client.outcome(started, None, limit, stderr=subprocess.STDOUT, cwd=folder, env=variables)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(program)
    return {"code": code, "said": said[-20000:]}


def log_hooks(host: Host, module: str, hooks: list[Any]) -> dict[str, Any]:
    """Add to a module's log what its hooks said."""
    if host.begun is not None:
        logbook.add(host, [module], {"id": host.begun["id"], "event": "hooks", "hooks": hooks})
    return {}
