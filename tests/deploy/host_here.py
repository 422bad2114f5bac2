"""The host's side of a conversation within this process, for tests of what it decides by itself."""

from __future__ import annotations

import math
import os
from pathlib import Path

from dagster_module_builder.deploy.host_side.client import Client
from dagster_module_builder.deploy.host_side.host import Host


def host_here(base: Path) -> Host:
    """Return a host whose base path is a folder here; its client never falls silent, which would end this process."""
    requests, _ = os.pipe()
    _, answers = os.pipe()
    made = Host(Client(os.fdopen(requests, "rb"), os.fdopen(answers, "wb")))
    made.client.heard = math.inf
    made.base = str(base)
    (base / "modules").mkdir(exist_ok=True)
    return made
