"""One code location: its servers, what is due for it, and what has become of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from socket import socket

from .listed import Listed, file_name
from .server import FAILED, SUCCEEDED

#: Seconds before a server that ended is started again: doubled each time, up to the longest.
SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
#: Seconds after which the end of a server no longer counts as one of a row.
STEADY = 60.0


@dataclass(eq=False)
class Server:
    """A process that serves a location.

    Attributes:
        location: The location.
        pid: The process.
        connection: The line to it.
        path: The socket that it listens on.
        started_at: When it was forked, in seconds of the monotonic clock.
        listens_since: When it began to listen; None before.
        is_leaving: Whether it was told to end.
    """

    location: Location
    pid: int
    connection: socket
    path: Path
    started_at: float
    listens_since: float | None = None
    is_leaving: bool = False

    def tell(self, message: bytes) -> None:
        """Send a message; a server that is gone does not get it."""
        try:
            self.connection.sendall(message)
        except OSError:
            return

    def leave(self) -> None:
        """Tell it to end with its last run."""
        self.is_leaving = True
        self.tell(SUCCEEDED)


@dataclass(eq=False)
class Location:
    """A code location with its servers.

    Attributes:
        listed: What the workspace file says of it.
        current: The server that answers for it.
        coming: The one that will, once it listens.
        is_wanted_again: Whether a reload was asked for while one was coming, which may have the older code.
        due_at: When to start a server, in seconds of the monotonic clock; None if none is due.
        pause: Seconds before the next start, if a server ends by itself.
        is_settled: Whether a server has listened, or was given up, since the location was listed.
    """

    listed: Listed
    current: Server | None = None
    coming: Server | None = None
    is_wanted_again: bool = False
    due_at: float | None = 0.0
    pause: float = SHORTEST_PAUSE
    is_settled: bool = False
    generation: int = field(default=0)

    @property
    def name(self) -> str:
        """Its name."""
        return self.listed.name

    def next_socket(self, folder: Path) -> Path:
        """Return the path of a socket for its next server."""
        self.generation += 1
        return folder / f"{file_name(self.name)}.{self.generation}.sock"

    def next_socket_apart(self, folder: Path) -> Path:
        """Return the path of a socket for its next server, in a folder of the location alone."""
        self.generation += 1
        return folder / file_name(self.name) / f"s.{self.generation}.sock"

    def socket(self, folder: Path) -> Path:
        """Return the path at which clients find whichever server answers."""
        return folder / f"{file_name(self.name)}.sock"

    def wants_reload(self, now: float) -> None:
        """Note that a server with the code as it is now is asked for."""
        if self.coming is None:
            self.due_at = now
        else:
            self.is_wanted_again = True

    def listens(self, server: Server, now: float) -> None:
        """Note that its coming server listens; the one before ends with its last run."""
        server.listens_since = now
        before, self.current, self.coming, self.is_settled = self.current, server, None, True
        if before is not None:
            before.leave()
        if self.is_wanted_again:
            self.is_wanted_again, self.due_at = False, now

    def ended(self, server: Server, now: float) -> bool:
        """Note that a server has ended; return whether that was by itself."""
        if server is self.coming:
            # It ended, or was ended, before it listened.
            self.coming, self.is_settled = None, True
            if self.current is not None:
                self.current.tell(FAILED)
            else:
                self._again(now)
            return True
        if server is not self.current:
            return False
        self.current = None
        if server.is_leaving:
            return False
        if server.listens_since is not None and now - server.listens_since > STEADY:
            self.pause = SHORTEST_PAUSE
        if self.coming is None:
            self._again(now)
        return True

    def _again(self, now: float) -> None:
        self.due_at = now + self.pause
        self.pause = min(self.pause * 2, LONGEST_PAUSE)
