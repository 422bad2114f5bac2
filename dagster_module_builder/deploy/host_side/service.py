"""The files of the Dagster that ``deploy.setup --start`` makes on this host."""

from __future__ import annotations

import json
import os

from .errors import RefusedError
from .files import digest, put, read, read_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .host import Host

#: Its folder, beside ``workspace.yaml``.
FOLDER = "dagster-service"
#: Its processes.
PROCESSES = ("webserver", "daemon")
SETTINGS = "settings.json"
#: The digests of the files as they were written, by which later edits are noticed and kept.
MADE = "made.json"
START = "start.py"
#: Starts one of its processes, whether systemd, this program or a person runs it. No secret is in any arguments.
STARTER = b'''\
"""Start Dagster's webserver or its daemon: python start.py webserver|daemon."""

import json
import os
import sys

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "settings.json")) as file:
    settings = json.load(file)
os.environ.pop("PYTHONPATH", None)
os.environ.update(settings["environ"])
os.chdir(settings["folder"])
command = settings["commands"][sys.argv[1]]
os.execv(command[0], command)
'''


def service_path(host: Host, folder: str, *parts: str) -> str:
    """Return a path in the service's folder.

    Args:
        host: This host.
        folder: The folder below the base that Dagster is started in.
        parts: What follows.
    """
    return os.path.normpath(os.path.join(host.base, folder, FOLDER, *parts))


def service_settings(host: Host, folder: str) -> dict[str, Any]:
    """Return the settings that the service's processes are started with; empty if there is no service."""
    settings: dict[str, Any] = read_json(service_path(host, folder, SETTINGS), {})
    return settings


def python_of(host: Host, folder: str | None) -> str | None:
    """Return the interpreter of the service's environment; None if there is no service."""
    settings = {} if folder is None else service_settings(host, folder)
    return settings["commands"]["webserver"][0] if settings else None


def service_seen(host: Host, folder: str) -> dict[str, Any]:
    """Return the state of the service, without its secrets: ``made``, ``port``, ``has_password``."""
    settings = service_settings(host, folder)
    has_password = "DAGSTER_POSTGRES_PASSWORD" in settings.get("environ", {})
    return {"made": bool(settings), "port": settings.get("port"), "has_password": has_password}


def processes_of(host: Host, folder: str) -> list[str]:
    """Return the names of the service's processes, each before those that need it."""
    commands: dict[str, Any] = service_settings(host, folder).get("commands", {})
    return [name for name in PROCESSES if name in commands]


def write_service(
    host: Host, folder: str, environment: str, port: int, instance: str, environ: dict[str, str], daemon: bool = True
) -> dict[str, Any]:
    """Write the service's files, except those that were edited by hand.

    Args:
        host: This host.
        folder: The folder below the base that Dagster is started in.
        environment: The name of the environment that it runs in.
        port: The port of its webserver.
        instance: The text of ``dagster.yaml``.
        environ: Further variables for its processes; an existing password stays unless a new one is among them.
        daemon: Whether it has a daemon, without which no schedule or sensor ever runs.

    Returns:
        ``changed``: the files that are new or different; ``kept``: those that were edited by hand.
    """
    if host.lock is None:
        raise RefusedError("locked", "The lock is not held.")
    os.makedirs(service_path(host, folder, "home"), mode=0o700, exist_ok=True)
    before = service_settings(host, folder).get("environ", {})
    kept_password = {name: value for name, value in before.items() if name == "DAGSTER_POSTGRES_PASSWORD"}
    settings = {
        "folder": os.path.normpath(os.path.join(host.base, folder)),
        "port": port,
        "environ": {**kept_password, **environ, "DAGSTER_HOME": service_path(host, folder, "home")},
        "commands": commands(service_path(host, folder, "environments", environment, "bin", "python"), port, daemon),
    }
    texts = {
        "home/dagster.yaml": (instance.encode(), 0o600),
        START: (STARTER, 0o644),
        SETTINGS: (json.dumps(settings, indent=2).encode(), 0o600),
    }
    return put_texts(service_path(host, folder), texts)


def commands(python: str, port: int, daemon: bool = True) -> dict[str, list[str]]:
    """Return the command of each process, run beside ``workspace.yaml``; only this host reaches the webserver."""
    workspace = ["-w", "workspace.yaml"]
    webserver = [python, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port), *workspace]
    more = {"daemon": [python, "-m", "dagster._daemon", "run", *workspace]} if daemon else {}
    return {"webserver": webserver, **more}


def put_texts(folder: str, texts: dict[str, tuple[bytes, int]]) -> dict[str, Any]:
    """Write files with their modes, and note their digests, so that later edits by hand are noticed."""
    made = read_json(os.path.join(folder, MADE), {})
    changed, kept = [], []
    for name, (text, mode) in texts.items():
        path = os.path.join(folder, name)
        present = read(path)
        # An edited file matters only when there is new text to write.
        if present == text or (present is not None and made.get(name) == digest(text)):
            continue
        if present is not None and made.get(name) not in {None, digest(present)}:
            kept.append(path)
            continue
        put(path, text, mode)
        changed.append(path)
        made[name] = digest(text)
        put(os.path.join(folder, MADE), json.dumps(made).encode(), 0o644)
    return {"changed": changed, "kept": kept}
