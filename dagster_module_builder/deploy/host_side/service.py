"""The Dagster that ``deploy.setup --start`` makes on this host: its files, and whether it is there."""

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
#: What runs of it.
PROCESSES = ("webserver", "daemon")
SETTINGS = "settings.json"
#: The digests of the files as they were put there: what a person has edited since stays.
MADE = "made.json"
START = "start.py"
#: Starts one of its processes: by systemd, by this program, or by hand. Nothing secret is in any arguments.
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
        host: This one.
        folder: The folder below the base that Dagster is started in.
        parts: What follows.
    """
    return os.path.normpath(os.path.join(host.base, folder, FOLDER, *parts))


def service_settings(host: Host, folder: str) -> dict[str, Any]:
    """Return what the service's processes are started with; empty where none was made."""
    found: dict[str, Any] = read_json(service_path(host, folder, SETTINGS), {})
    return found


def python_of(host: Host, folder: str | None) -> str | None:
    """Return the interpreter of the service's environment; None where none was made."""
    found = {} if folder is None else service_settings(host, folder)
    return found["commands"]["webserver"][0] if found else None


def service_seen(host: Host, folder: str) -> dict[str, Any]:
    """Return what there is of the service, without its secrets."""
    found = service_settings(host, folder)
    secrets = found.get("environ", {})
    return {"made": bool(found), "port": found.get("port"), "has_password": "DAGSTER_POSTGRES_PASSWORD" in secrets}


def write_service(
    host: Host, folder: str, environment: str, port: int, instance: str, environ: dict[str, str]
) -> dict[str, Any]:
    """Write the service's files, except those that a person has edited.

    Args:
        host: This one.
        folder: The folder below the base that Dagster is started in.
        environment: The environment that it runs in.
        port: Where its webserver is to listen.
        instance: The text of ``dagster.yaml``.
        environ: The variables that its processes get besides; a password that is there stays, unless it is among them.

    Returns:
        ``changed`` and ``kept``: the files that are new or different, and those that a person has edited.
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
        "commands": commands(service_path(host, folder, "environments", environment, "bin", "python"), port),
    }
    texts = {
        "home/dagster.yaml": (instance.encode(), 0o600),
        START: (STARTER, 0o644),
        SETTINGS: (json.dumps(settings, indent=2).encode(), 0o600),
    }
    return put_texts(service_path(host, folder), texts)


def commands(python: str, port: int) -> dict[str, list[str]]:
    """Return how each process is started, in the folder of ``workspace.yaml``; only this host reaches the webserver."""
    place = ["-w", "workspace.yaml"]
    return {
        "webserver": [python, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port), *place],
        "daemon": [python, "-m", "dagster._daemon", "run", *place],
    }


def put_texts(folder: str, texts: dict[str, tuple[bytes, int]]) -> dict[str, Any]:
    """Put files in place, with their modes; note which they are, so that later edits of a person's are seen."""
    made = read_json(os.path.join(folder, MADE), {})
    changed, kept = [], []
    for name, (text, mode) in texts.items():
        path = os.path.join(folder, name)
        found = read(path)
        # An edited file is in nobody's way until there is something new to write.
        if found == text or (found is not None and made.get(name) == digest(text)):
            continue
        if found is not None and made.get(name) not in {None, digest(found)}:
            kept.append(path)
            continue
        put(path, text, mode)
        changed.append(path)
        made[name] = digest(text)
        put(os.path.join(folder, MADE), json.dumps(made).encode(), 0o644)
    return {"changed": changed, "kept": kept}
