"""What there is on this host."""

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

#: How much of a module's log one answer has room for: bytes, and entries.
LOG_BYTES, LOG_ENTRIES = 4 << 20, 10_000
#: How Docker says that it has no such plugin.
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
    """Say what there is; with a holder, under the lock. Without one nothing is changed.

    Args:
        host: This one.
        base: The base path.
        url: Where Dagster's webserver answers on this host.
        modules: The modules to tell of.
        files: The shared files to send, below the base.
        tools: The programs to look for.
        holder: Who deploys, and what (``action``, which the log has); None takes no lock.
        wait: How many seconds to wait for another holder.
        pythons: The interpreters to tell of.
        folder: The folder below the base that Dagster is started in; None where it runs in containers.
    """
    host.base = os.path.expanduser(base)
    host.dagster = Dagster(url)
    if not os.path.isdir(host.modules):
        raise RefusedError("setup", f"{host.modules} is not there on the host: run 'deploy.setup' once.")
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
    """Return the name of the user of this conversation; the number where the host has no name for it."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def program(host: Host, name: str) -> str | None:
    """Return where a program is, or one with a plugin (``docker compose``); None where it is not.

    Raises:
        RefusedError: It may not be run, or fails.
    """
    first, *plugin = command = name.split()
    where = installed(first)
    if where is None or not plugin:
        return where
    command = [*command, "version"]
    status, said, words = host.client.outcome(command, None, 60)
    if status and not NO_PLUGIN.search(words):
        raise failed("tool", command, status, words or said)
    return None if status else where


def docker_refusal(host: Host) -> str | None:
    """Say why Docker cannot be used here; None when it can."""
    try:
        if installed("docker") is None:
            return "docker is not installed"
        host.client.ask(["docker", "version", "--format", "{{.Server.Version}}"], limit=20)
    except RefusedError as error:
        return str(error)
    return None


def shared_file(host: Host, name: str) -> str | None:
    """Return a shared file's bytes."""
    text = read(os.path.join(host.base, name))
    return None if text is None else base64.b64encode(text).decode()


def real_paths(host: Host, names: list[Any]) -> list[str]:
    """Return where shared files are when every link is followed."""
    return [os.path.realpath(os.path.join(host.base, name)) for name in names]


def mode_of(host: Host, name: str) -> int | None:
    """Return the rights to a shared file, None where there is none."""
    try:
        return stat.S_IMODE(os.stat(os.path.join(host.base, name)).st_mode)
    except OSError:
        return None


def known(host: Host, name: str) -> dict[str, Any]:
    """Return what is known of a module here."""
    folder = host.of(name, "releases")
    entries = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    releases = {one: read_json(os.path.join(folder, one, "RELEASE.json"), {}) for one in entries if "." not in one}
    return {
        "state": read_json(host.of(name, STATE), {}),
        "releases": releases,
        "bad": [one for one in entries if one.endswith(".bad")],
        "unfinished": [one for one in entries if one.endswith(".tmp")],
        "environments": environments(host, name),
        "servers": servers_of(host, name),
        "remains": read_remains(host, name),
    }


def environments(host: Host, module: str) -> dict[str, str | None]:
    """Return the environments that are complete, with the interpreter of each; None where that is not on this host."""
    folder = host.of(module, "venvs")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    complete = [name for name in names if os.path.exists(os.path.join(folder, name, ".complete"))]
    return {name: interpreter_of(os.path.join(folder, name)) for name in complete}


def dagster_seen(host: Host) -> dict[str, Any]:
    """Return what Dagster says of itself, or why it does not."""
    try:
        return {"locations": host.dagster.locations(limit=20), "daemons": host.dagster.daemons()}
    except RefusedError as error:
        return {"error": str(error)}


def read_log(host: Host, module: str) -> dict[str, Any]:
    """Return a module's log; of a very long one, the newest entries."""
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
        raise RefusedError("release", f"The settings of release {identity} are not on the host any more.")
    return {"env": base64.b64encode(text).decode()}


def contents_of(host: Host, module: str, identity: str) -> dict[str, Any]:
    """Return what a release consists of: the manifest of its files, and its settings."""
    text = read(os.path.join(host.release(module, identity), "manifest.sha256")) or b""
    env = read(host.of(module, "env", f"{identity}.env")) or b""
    return {"manifest": text.decode(), "env": base64.b64encode(env).decode()}
