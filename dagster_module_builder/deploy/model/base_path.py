"""The folders of a host that a deployment may use. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

#: Folders of the system (https://refspecs.linuxfoundation.org/FHS_3.0/fhs/index.html); below /usr/local and /var users
#: may have folders.
_SYSTEM = re.compile(
    r"/|/(?:bin|boot|dev|etc|lib(?:32|64|x32|exec)?|proc|run|sbin|sys|usr(?!/local/.)|var/(?:run|spool|cache|lib/docker))(?:/.*)?"
    r"|/(?:home|tmp|var|usr/local)"
)
_CURE = "name a folder for Dagster alone, such as /srv/dagster or ~/dagster"


def refused_base_path(data: Mapping[str, Any]) -> str | None:
    """Return why a deployment may not use the folders that it names; None if it may.

    Args:
        data: The content of a ``deployment.yaml``, as its schema says.
    """
    return next((reason for name, path in _named(data) if (reason := _reason(name, path))), None)


def _named(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "base_path", data["base_path"]
    for number, host in enumerate(data["hosts"]):
        if isinstance(host, Mapping) and host.get("base_path"):
            yield f"hosts[{number}].base_path", host["base_path"]


def _reason(name: str, path: str) -> str | None:
    parts = path.split("/")
    if ".." in parts:
        return f"{name} contains '..': write the folder that it leads to"
    if ".ssh" in parts:
        return f"{name} is {path}, where SSH keeps its keys: {_CURE}"
    whole = "/" + posixpath.normpath(path).lstrip("/")
    if path.startswith("/") and _SYSTEM.fullmatch(whole):
        return f"{name} is {path}, which belongs to the system: {_CURE}"
    return None
