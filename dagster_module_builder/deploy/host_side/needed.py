"""What no clean-up may remove: releases and environments that something on this host names."""

from __future__ import annotations

import os
import re

from .files import read, read_json
from .host import STATE
from .processes import named_by_processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .host import Host

#: What our own environments are called: a part of the hash of what is in them. Others were made by hand.
OURS = re.compile(r"[0-9a-f]{16}")


class Needed:
    """What is named, as it was when it was first asked for."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.files = "\n".join([*map(text_of, host.shared), *named_by_states(host)])
        self.processes: str | None = None

    def has_server(self, name: str) -> bool:
        """Tell whether Dagster's files name a code server."""
        return is_named(self.files, name)

    def by_files(self, module: str, *parts: str) -> bool:
        """Tell whether Dagster's files, or a module's state, name something of a module's."""
        return is_named(self.files, module, *parts)

    def at_all(self, module: str, *parts: str) -> bool:
        """Tell whether those files or a running process name something of a module's."""
        if self.by_files(module, *parts):
            return True
        if self.processes is None:
            self.processes = named_by_processes()
        return is_named(self.processes, module, *parts)


def is_named(text: str, *parts: str) -> bool:
    """Tell whether a text has a path, whatever folder it begins in: a container sees it elsewhere."""
    return re.search(rf"(?<![\w.-]){re.escape('/'.join(parts))}(?![\w.-])", text) is not None


def text_of(path: str) -> str:
    """Return a file's text."""
    return (read(path) or b"").decode("utf-8", "replace")


def named_by_states(host: Host) -> list[str]:
    """Return the releases that the modules' states name, and the environments of those."""
    found = []
    for module in os.listdir(host.modules):
        state = read_json(host.of(module, STATE), {})
        for release in filter(None, (state.get("current"), state.get("previous"))):
            record = read_json(os.path.join(host.release(module, release), "RELEASE.json"), {})
            found += [f"{module}/releases/{release}", f"{module}/venvs/{record.get('environment')}"]
    return found
