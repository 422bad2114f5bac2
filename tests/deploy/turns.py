"""A wire that counts how often those at its ends wait for each other."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Wire:
    """Carries connections to an address.

    Attributes:
        port: Where it begins, on 127.0.0.1.
        turns: How often the client spoke after the server had, connection by connection: each round trip is such a
            turn, and a turn need not be one, where both speak at once.
    """

    port: int
    turns: list[int] = field(default_factory=list)

    def carry(self, client: socket.socket, server: socket.socket) -> None:
        number, last = len(self.turns), server
        self.turns.append(0)
        with client, server, contextlib.suppress(OSError):
            while True:
                for one in select.select([client, server], [], [])[0]:
                    data = one.recv(1 << 16)
                    if not data:
                        return
                    self.turns[number] += one is client and last is server
                    last = one
                    (server if one is client else client).sendall(data)


@contextlib.contextmanager
def wire_to(address: str, port: int) -> Iterator[Wire]:
    """Give a wire to a server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = Wire(listener.getsockname()[1])

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    server = socket.create_connection((address, port))
                    for one in (client, server):
                        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=wire.carry, args=(client, server), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield wire
        listener.shutdown(socket.SHUT_RDWR)
