"""Reports the state of this host."""

from __future__ import annotations

import base64
import json
import os
import pwd
import re
import stat
import sys

from . import logbook
from .dagster import Dagster
from .errors import RefusedError
from .files import is_mounted_singly, read, read_json
from .host import STATE
from .interpreters import identity_of, interpreter_of
from .journal import is_pending
from .lock import lock_holder, take_lock
from .outside import failed, installed
from .remains import read_remains
from .servers import servers_of
from .service import service_seen
from .storage import storage_seen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .host import Host

#: The longest log that one answer may contain: bytes, and entries.
LOG_BYTES, LOG_ENTRIES = 4 << 20, 10_000
#: What Docker says about a plugin that is not installed.
NO_PLUGIN = re.compile("is not a docker command|unknown command")


def inspect(
    host: Host,
    base: str,
    url: str,
    modules: list[Any],
    files: list[Any],
    tools: list[str],
    holder: dict[str, Any] | None = None,
    wait: float = 0.0,
    pythons: Sequence[str] = (),
    folder: str | None = None,
) -> dict[str, Any]:
    """Return the state of this host, under the lock if there is a holder; without one nothing is changed.

    Args:
        host: This host.
        base: The base path.
        url: The address of Dagster's webserver on this host.
        modules: The modules to report.
        files: The shared files to send, below the base.
        tools: The programs to look for.
        holder: Who deploys, and what (``action``, for the log); None takes no lock.
        wait: Seconds to wait for another holder of the lock.
        pythons: The interpreters to look for.
        folder: The folder below the base that Dagster is started in; None if it runs in containers.
    """
    host.base = os.path.expanduser(base)
    host.dagster = Dagster(url)
    if not os.path.isdir(host.modules):
        raise RefusedError("setup", f"The host has no folder {host.modules}: run 'deploy.setup' once.")
    host.shared = real_paths(host, files)
    recovered = take_lock(host, holder, wait) if holder else []
    if holder and "action" in holder:
        record = {name: holder[name] for name in ("action", "who", "command")}
        host.begun = logbook.begin(host, modules, record)
    return {
        "recovered": recovered,
        "base": host.base,
        "user": user_name(),
        "uid": os.geteuid(),
        "gid": os.getegid(),
        "host": os.uname().nodename,
        "python": ".".join(map(str, sys.version_info[:3])),
        "writable": os.access(host.modules, os.W_OK),
        "disk": host.disk(),
        "tools": {name: program(host, name) for name in tools},
        "docker": docker_refusal(host) if "docker" in tools else None,
        "files": {name: shared_file(host, name) for name in files},
        "mounted": [path for path in host.shared if is_mounted_singly(path)],
        "modes": {name: mode_of(host, name) for name in files},
        "modules": {name: known(host, name) for name in modules},
        "dagster": dagster_seen(host),
        "interpreters": {name: identity_of(host, name) for name in pythons},
        "storage": None if folder is None else storage_seen(host, folder),
        "service": None if folder is None else service_seen(host, folder),
        "lock": lock_holder(host),
        "journal": is_pending(host),
    }


def user_name() -> str:
    """Return the name of this process's user; the user's number if there is no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def program(host: Host, name: str) -> str | None:
    """Return the path of a program, which may need a plugin (``docker compose``); None if it is not installed.

    Raises:
        RefusedError: It may not be run, or fails.
    """
    first, *plugin = command = name.split()
    path = installed(first)
    if path is None or not plugin:
        return path
    command = [*command, "version"]
    status, said, words = host.client.outcome(command, None, 60)
    if status and not NO_PLUGIN.search(words):
        raise failed("tool", command, status, words or said)
    return None if status else path


def docker_refusal(host: Host) -> str | None:
    """Return why Docker cannot be used on this host; None if it can."""
    try:
        if installed("docker") is None:
            return "docker is not installed"
        host.client.ask(["docker", "version", "--format", "{{.Server.Version}}"], limit=20)
    except RefusedError as error:
        return str(error)
    return None


def shared_file(host: Host, name: str) -> str | None:
    """Return a shared file's bytes (Base64); None if there is no file."""
    text = read(os.path.join(host.base, name))
    return None if text is None else base64.b64encode(text).decode()


def real_paths(host: Host, names: list[Any]) -> list[str]:
    """Return the real paths of shared files, with every link resolved."""
    return [os.path.realpath(os.path.join(host.base, name)) for name in names]


def mode_of(host: Host, name: str) -> int | None:
    """Return a shared file's mode; None if there is no file."""
    try:
        return stat.S_IMODE(os.stat(os.path.join(host.base, name)).st_mode)
    except OSError:
        return None


def known(host: Host, name: str) -> dict[str, Any]:
    """Return a module's state, releases, environments and servers on this host."""
    folder = host.of(name, "releases")
    entries = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    good = [entry for entry in entries if "." not in entry]
    releases = {release: read_json(os.path.join(folder, release, "RELEASE.json"), {}) for release in good}
    return {
        "state": read_json(host.of(name, STATE), {}),
        "releases": releases,
        "bad": [entry for entry in entries if entry.endswith(".bad")],
        "unfinished": [entry for entry in entries if entry.endswith(".tmp")],
        "environments": environments(host, name),
        "servers": servers_of(host, name),
        "remains": read_remains(host, name),
    }


def environments(host: Host, module: str) -> dict[str, str | None]:
    """Return the interpreter of each complete environment; None for an interpreter that this host lacks."""
    folder = host.of(module, "venvs")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    complete = [name for name in names if os.path.exists(os.path.join(folder, name, ".complete"))]
    return {name: interpreter_of(os.path.join(folder, name)) for name in complete}


def dagster_seen(host: Host) -> dict[str, Any]:
    """Return Dagster's locations and the health of its daemons, or why it does not answer."""
    try:
        return {"locations": host.dagster.locations(limit=20), "daemons": host.dagster.daemons()}
    except RefusedError as error:
        return {"error": str(error)}


def read_log(host: Host, module: str) -> dict[str, Any]:
    """Return a module's log; only the newest entries of a very long one."""
    newest: list[Any] = []
    left = LOG_BYTES
    for entry in reversed(logbook.entries(host, module)[-LOG_ENTRIES:]):
        left -= len(json.dumps(entry))
        if left < 0:
            break
        newest.append(entry)
    return {"log": newest[::-1]}


def settings_of(host: Host, module: str, identity: str) -> dict[str, Any]:
    """Return the settings of a release."""
    text = read(host.of(module, "env", f"{identity}.env"))
    if text is None:
        raise RefusedError(
            "release", f"The host no longer has the settings of release {identity}: deploy its commit again."
        )
    return {"env": base64.b64encode(text).decode()}


def contents_of(host: Host, module: str, identity: str) -> dict[str, Any]:
    """Return a release's manifest and its settings."""
    text = read(os.path.join(host.release(module, identity), "manifest.sha256")) or b""
    env = read(host.of(module, "env", f"{identity}.env")) or b""
    return {"manifest": text.decode(), "env": base64.b64encode(env).decode()}
