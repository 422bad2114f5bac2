"""What one conversation knows about this host, and where everything is below its base path."""

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
        #: The real paths of Dagster's own files, with every link resolved.
        self.shared: list[str] = []
        #: The hashes of each module's current release.
        self.hashes: dict[str, Hashes] = {}
        #: The code servers that this conversation started: module and name.
        self.begun_servers: list[tuple[str, str]] = []
        #: The schedules and sensors of locations before the change that this conversation makes.
        self.automation: dict[str, list[dict[str, Any]]] = {}
        #: The folders of the commands that another channel starts.
        self.sessions: list[str] = []
        #: The hooks for a failure that the client left here (``hooks.leave_hook``).
        self.left_hooks: list[dict[str, Any]] = []
        #: The operation that this conversation has begun, as the log records it.
        self.begun: dict[str, Any] | None = None

    @property
    def modules(self) -> str:
        """The folder that holds all modules."""
        return os.path.join(self.base, "modules")

    @property
    def journal(self) -> str:
        """The folder that records the switch in progress."""
        return os.path.join(self.modules, ".journal")

    @property
    def private_mode(self) -> int:
        """The mode of a file that only those who may deploy can read."""
        return 0o660 if os.stat(self.modules).st_mode & 0o020 else 0o600

    def of(self, module: str, *parts: str) -> str:
        """Return a path in a module's folder: ``of("sales", "env") -> "…/modules/sales/env"``."""
        return os.path.join(self.modules, module, *parts)

    def release(self, module: str, identity: str) -> str:
        """Return a release's folder."""
        return self.of(module, "releases", identity)

    def disk(self) -> dict[str, Any]:
        """Return the free space on the disk, in bytes and files; ``files`` is None where there is no limit."""
        disk = os.statvfs(self.modules)
        return {"bytes": disk.f_bavail * disk.f_frsize, "files": disk.f_favail or None}

    def refuse_full(self, need: int) -> None:
        """Refuse to go on where fewer than ``need`` bytes are free."""
        available = self.disk()["bytes"]
        if available < need:
            raise RefusedError(
                "disk", f"{self.base} has {available >> 20} MiB free, but {need >> 20} MiB are needed: make room there."
            )
