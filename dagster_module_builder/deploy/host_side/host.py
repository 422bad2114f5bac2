"""What one conversation knows of this host, and where everything lies below its base path."""

from __future__ import annotations

import os

from .dagster import Dagster
from .errors import RefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

    from .client import Client
    from .manifest import Hashes

STATE = "state.json"


class Host:
    """This host, below one base path, for one client."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.base = ""
        self.lock: BinaryIO | None = None
        self.dagster = Dagster("http://127.0.0.1:3000")
        #: Where Dagster's own files are, when every link is followed.
        self.shared: list[str] = []
        #: The hashes of each module's current release.
        self.hashes: dict[str, Hashes] = {}
        #: The code servers that this conversation started: module and name.
        self.begun_servers: list[tuple[str, str]] = []
        #: What this conversation has begun, as the log has it.
        self.begun: dict[str, Any] | None = None

    @property
    def modules(self) -> str:
        """The folder of all modules."""
        return os.path.join(self.base, "modules")

    @property
    def journal(self) -> str:
        """What is being switched."""
        return os.path.join(self.modules, ".journal")

    @property
    def private_mode(self) -> int:
        """The rights to a file of those who may deploy, and of nobody else."""
        return 0o660 if os.stat(self.modules).st_mode & 0o020 else 0o600

    def of(self, module: str, *parts: str) -> str:
        """Return a path of one module's."""
        return os.path.join(self.modules, module, *parts)

    def release(self, module: str, identity: str) -> str:
        """Return a release's folder."""
        return self.of(module, "releases", identity)

    def disk(self) -> dict[str, Any]:
        """Return what is free for us, in bytes and files."""
        found = os.statvfs(self.modules)
        return {"bytes": found.f_bavail * found.f_frsize, "files": found.f_favail or None}

    def refuse_full(self, need: int) -> None:
        """Refuse where there is too little room."""
        free = self.disk()["bytes"]
        if free < need:
            raise RefusedError(
                "disk", f"{self.base} has {free >> 20} MiB free, and {need >> 20} MiB are needed: make room there."
            )
