"""What no clean-up may remove: releases and environments that files or processes of this host name."""

from __future__ import annotations

import os
import re

from .files import read, read_json
from .host import STATE
from .processes import named_by_processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .host import Host

#: The names of environments made by deployments: part of a hash of their contents. Others were made by hand.
OURS = re.compile(r"[0-9a-f]{16}")


class Needed:
    """The names in Dagster's files and in running processes, each read once."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.files = "\n".join([*map(text_of, host.shared), *named_by_states(host)])
        self.processes: str | None = None

    def has_server(self, name: str) -> bool:
        """Tell whether Dagster's files name a code server."""
        return is_named(self.files, name)

    def by_files(self, module: str, *parts: str) -> bool:
        """Tell whether Dagster's files or a module's state name a path in the module's folder."""
        return is_named(self.files, module, *parts)

    def at_all(self, module: str, *parts: str) -> bool:
        """Tell whether those files or a running process name a path in the module's folder."""
        if self.by_files(module, *parts):
            return True
        if self.processes is None:
            self.processes = named_by_processes()
        return is_named(self.processes, module, *parts)


def is_named(text: str, *parts: str) -> bool:
    """Tell whether a text contains a path, below any folder: a container may see it elsewhere."""
    return re.search(rf"(?<![\w.-]){re.escape('/'.join(parts))}(?![\w.-])", text) is not None


def text_of(path: str) -> str:
    """Return a file's text."""
    return (read(path) or b"").decode("utf-8", "replace")


def named_by_states(host: Host) -> list[str]:
    """Return the releases that the modules' states name, and their environments."""
    names = []
    for module in os.listdir(host.modules):
        state = read_json(host.of(module, STATE), {})
        for release in filter(None, (state.get("current"), state.get("previous"))):
            record = read_json(os.path.join(host.release(module, release), "RELEASE.json"), {})
            names += [f"{module}/releases/{release}", f"{module}/venvs/{record.get('environment')}"]
    return names
