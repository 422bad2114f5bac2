"""Commands that a person runs on this host, with a release's environment: over another channel, which starts them.

Their variables have secrets, so they are in a file for this user alone. Another channel starts the starter beside it,
which reads the file; both are removed when this conversation ends, and by the next session if it was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
import time

from . import logbook
from .errors import RefusedError
from .files import put, read_json, remove_tree
from .host import STATE
from .programs import seen_from
from .servers import current_server
from .service import service_settings
from .session_programs import END, INSIDE, STARTER
from .storage import started_with

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .host import Host

FOLDER = ".sessions"
#: Seconds after which a session's files are of no use to anyone: they are read when it begins.
OUTDATED = 3600.0
START, SETTINGS = "start.py", "session.json"
#: The variable by which the processes of a session are found in a container: they inherit it.
MARK = "DEPLOY_SESSION"


def enter(
    host: Host,
    module: str,
    command: list[str],
    environ: dict[str, str],
    source: str,
    python: str,
    folder: str,
    terminal: bool,
    log: dict[str, Any],
    where: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write down a command that another channel is about to start in a module's current release.

    Args:
        host: This host.
        module: The module.
        command: The program and its arguments; ``{python}`` stands for the interpreter of the release.
        environ: The variables of its code.
        source: The folder in the release that Python imports from.
        python: The interpreter of the release, as Dagster sees it.
        folder: The folder below the base that Dagster runs in.
        terminal: Whether the command has a terminal.
        log: What the module's log records.
        where: How to get into Dagster's container; None for this host.

    Returns:
        ``start``: the command for the other channel; ``release``: the release.

    Raises:
        RefusedError: The module is not deployed here, or its server is gone.
    """
    state = read_json(host.of(module, STATE), {})
    release = state.get("current")
    if not release:
        raise RefusedError("release", f"{module} is not deployed on this host: deploy it first.")
    remove_outdated(host)
    place = os.path.join(host.modules, FOLDER, secrets.token_hex(8))
    os.makedirs(place, mode=0o700)
    host.sessions.append(place)
    code = os.path.join(host.release(module, release), source)
    server = current_server(host, module)
    session: dict[str, Any] = {
        "environ": {}, "folder": host.release(module, release), "terminal": terminal, "end": None,
    }  # fmt: skip
    mark = os.path.basename(place)
    if server:
        container = in_server(server, mark, terminal)
        session["command"] = [*container, *named(command, "python")]
        session["end"] = [*in_server(server), "sh", "-c", END, mark]
    elif where:
        # Nothing is written into a release.
        text = {**environ, "PYTHONPATH": seen_from(host, where, code), "PYTHONDONTWRITEBYTECODE": "1"}
        put(os.path.join(place, "settings.json"), json.dumps(text).encode(), 0o600, lasting=False)
        folder = seen_from(host, where, host.release(module, release))
        start = ["python3", "-c", INSIDE, seen_from(host, where, os.path.join(place, "settings.json"))]
        container = [*in_container(where, mark, terminal, folder), *start, os.path.dirname(python)]
        session["command"] = [*container, *named(command, python)]
        session["end"] = [*in_container(where), "sh", "-c", END, mark]
    else:
        python = os.path.expanduser(python)
        session["environ"] = {**environ, **own_variables(host, folder, python), "PYTHONPATH": code}
        session["command"] = named(command, python)
    put(os.path.join(place, SETTINGS), json.dumps(session).encode(), 0o600, lasting=False)
    put(os.path.join(place, START), STARTER, 0o600, lasting=False)
    host.begun = logbook.begin(host, [module], {**log, "release": release})
    return {"start": [sys.executable, "-IS", os.path.join(place, START)], "release": release}


def left(host: Host, status: int) -> dict[str, Any]:
    """Log that the session's command has ended, with its exit status."""
    logbook.finish(host, {"result": f"exit status {status}"})
    return {}


def named(command: Sequence[str], python: str) -> list[str]:
    """Return a command with the interpreter in it."""
    return [python if part == "{python}" else part for part in command]


def in_server(server: str, mark: str = "", terminal: bool = False) -> list[str]:
    """Return the command that runs another one in a code server's container; with a mark, the one of a session."""
    interactive = ["--interactive", *(["--tty"] if terminal else []), "--env", f"{MARK}={mark}"] if mark else []
    return ["docker", "exec", *interactive, server]


def in_container(where: dict[str, Any], mark: str = "", terminal: bool = False, folder: str = "") -> list[str]:
    """Return the command that runs another one in Dagster's container; with a mark, the one of a session."""
    prefix = [part for part in where["prefix"] if part != "-T" or not terminal]
    return [*prefix, *(["-e", f"{MARK}={mark}", "-w", folder] if mark else []), where["service"]]


def own_variables(host: Host, folder: str, python: str) -> dict[str, str]:
    """Return the variables of this host's Dagster that a release's code needs, and its programs' PATH."""
    path = os.pathsep.join([os.path.dirname(python), os.environ.get("PATH", os.defpath)])
    made = service_settings(host, folder).get("environ", {})
    if not made:
        for seen in started_with(os.path.realpath(os.path.join(host.base, folder))):
            made = {"DAGSTER_HOME": os.fsdecode(seen[b"DAGSTER_HOME"])} if b"DAGSTER_HOME" in seen else {}
            break
    own = {"PATH": path} if os.path.dirname(python) else {}
    # Nothing is written into a release.
    return {**made, **own, "PYTHONDONTWRITEBYTECODE": "1"}


def remove_outdated(host: Host) -> None:
    """Remove the files of sessions whose conversation was killed."""
    folder = os.path.join(host.modules, FOLDER)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        with contextlib.suppress(OSError):
            if time.time() - os.stat(path).st_mtime > OUTDATED:
                remove_tree(path)
