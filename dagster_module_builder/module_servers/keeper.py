"""The process above the servers: it forks them, starts them again, and writes the file that names their sockets."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .apart import Apart
from .listed import Listed, digest_of, heading_of, listed_in, markers_in, served_text
from .location import Location, Server
from .server import ASIDE, LISTENS, RELOAD, serve

#: Seconds between two looks at the workspace file, and at what is due.
_TICK = 0.2
#: Seconds that servers get to end by themselves, once the whole is to end.
_GRACE = 8.0
#: Seconds after which a server that does not listen yet is waited for by no other, and by no reader of the served file.
_SLOW = 20.0


@dataclass(frozen=True)
class Options:
    """What the process is started with.

    Attributes:
        workspace: The workspace file that is read.
        served: The one that is written.
        sockets: The folder of the sockets.
        command: What is started when all locations are settled; when it ends, all ends.
        memory: What each server may allocate, in bytes; 0 for no limit.
        patience: Seconds after which a server that does not listen is ended.
        at_once: How many servers may be starting at the same time.
        apart: How modules are kept apart from each other; None if they are not.
        ready: A file to make when the locations are served for the first time.
    """

    workspace: Path
    served: Path
    sockets: Path
    command: Sequence[str] = ()
    memory: int = 0
    patience: float = 180.0
    at_once: int = 2
    apart: Apart | None = None
    ready: Path | None = None


class Keeper:
    """Keeps a server for each code location of a workspace file."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._apart = options.apart
        self._markers: Mapping[str, str] = {}
        self._locations: dict[str, Location] = {}
        self._listed: Sequence[Listed] = ()
        self._seen: object = None
        self._digest = self._written = ""
        self._selector = selectors.DefaultSelector()
        self._command: subprocess.Popen[bytes] | None = None
        self._is_ending = False

    def run(self) -> int:
        """Keep the servers until a signal, or the command, ends it; return the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        self._options.sockets.mkdir(mode=0o755 if self._apart else 0o700, parents=True, exist_ok=True)
        self._clear()
        if self._apart:
            self._apart.prepare()
        try:
            while not self._is_over():
                self._read_list()
                self._start_due()
                self._give_up_slow()
                self._publish()
                self._hear(_TICK)
        finally:
            self._end_all()
        return self._command.returncode if self._command and self._command.returncode is not None else 0

    def _end(self, number: int, _frame: object) -> None:
        self._is_ending = True
        # Ctrl-C reaches the command from the terminal.
        if number == signal.SIGTERM and self._command is not None:
            self._command.send_signal(number)

    def _clear(self) -> None:
        """Remove what leads to servers; after a crash, those that are gone."""
        # Who serves others' containers keeps their list: they may read it at any time.
        if self._apart is None:
            self._options.served.unlink(missing_ok=True)
        for pattern in ("*.sock", f"*{ASIDE}", "*/*.sock", f"*/*{ASIDE}"):
            for path in self._options.sockets.glob(pattern):
                path.unlink(missing_ok=True)

    def _is_over(self) -> bool:
        if self._command is not None:
            return self._command.poll() is not None
        return self._is_ending

    # The workspace file.

    def _read_list(self) -> None:
        """Take the workspace file if it is another one than before."""
        try:
            listing = self._apart.original_of(self._options.workspace) if self._apart else self._options.workspace
            state = listing.stat()
            seen = (state.st_mtime_ns, state.st_ino, state.st_size)
            if seen == self._seen:
                return
            text = listing.read_bytes()
            self._seen = seen
            listed = listed_in(text, self._options.workspace)
            if self._apart:
                self._markers = markers_in(text, self._options.workspace)
                self._apart.refresh(self._options.workspace)
            self._take(listed, digest_of(text))
        except Exception as error:  # noqa: BLE001 - whatever a person wrote: the servers go on
            if self._seen != (said := str(error)):
                _say(f"{self._options.workspace} cannot be read: {said}")
            self._seen = self._seen or said

    def _take(self, listed: Sequence[Listed], digest: str) -> None:
        served = {location.name: location for location in listed if location.arguments is not None}
        for name in self._locations.keys() - served.keys():
            self._drop(self._locations.pop(name))
        for name, wanted in served.items():
            location = self._locations.setdefault(name, Location(wanted))
            if location.listed != wanted:
                location.listed = wanted
                location.wants_reload(time.monotonic())
        for each in listed if self._apart else ():
            if each.arguments is None and self._apart:
                self._apart.close_to_modules(each.name)
        self._listed, self._digest = listed, digest

    def _drop(self, location: Location) -> None:
        location.due_at = None
        location.socket(self._options.sockets).unlink(missing_ok=True)
        for server in filter(None, (location.current, location.coming)):
            server.leave()

    def _publish(self) -> None:
        """Write the served file, and start the command, once all locations are settled."""
        now = time.monotonic()
        if self._digest == self._written or not all(_is_settled(each, now) for each in self._locations.values()):
            return
        new = self._options.served.with_name(f"{self._options.served.name}.new")
        heading = heading_of(self._digest, self._options.workspace)
        new.write_bytes(served_text(heading, self._listed, self._options.sockets))
        new.replace(self._options.served)
        self._written = self._digest
        if self._options.ready:
            self._options.ready.touch()
        if self._options.command and self._command is None and not self._is_ending:
            self._command = subprocess.Popen(self._options.command)

    # The servers.

    @property
    def _servers(self) -> list[Server]:
        return [key.data for key in list(self._selector.get_map().values())]

    def _start_due(self) -> None:
        now = time.monotonic()
        starting = sum(each.coming is not None and now - each.coming.started_at < _SLOW for each in self._all)
        due = (each for each in self._all if each.due_at is not None and each.due_at <= now and each.coming is None)
        for location in list(due)[: max(self._options.at_once - starting, 0)]:
            self._fork(location)

    @property
    def _all(self) -> list[Location]:
        return list(self._locations.values())

    def _fork(self, location: Location) -> None:
        ours, theirs = socket.socketpair()
        marker, user = self._markers.get(location.name), None
        if self._apart is None:
            path = location.next_socket(self._options.sockets)
        else:
            path, user = location.next_socket_apart(self._options.sockets), self._apart.user_of(marker or location.name)
            self._apart.make_socket_folder(path.parent, user)
        path.unlink(missing_ok=True)
        pid = os.fork()
        if pid == 0:
            ours.close()
            self._be_server(location.listed, path, theirs, marker, user)
        theirs.close()
        location.due_at = None
        location.coming = Server(location, pid, ours, path, time.monotonic())
        self._selector.register(ours, selectors.EVENT_READ, location.coming)

    def _be_server(
        self, listed: Listed, path: Path, connection: socket.socket, marker: str | None, user: int | None
    ) -> None:
        """Serve, in the forked process, and end it whatever happens: nothing of the process above goes on here."""
        status = 1
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)
            for server in self._servers:
                server.connection.close()
            self._selector.close()
            if self._apart and user is not None:
                self._apart.become(listed, marker, user)
            serve(listed.arguments or (), listed.name, path, connection, self._options.memory)
            status = 0
        except KeyboardInterrupt:
            status = 0
        except BaseException:  # noqa: BLE001 - also what ends a program
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _give_up_slow(self) -> None:
        now = time.monotonic()
        for location in self._all:
            server = location.coming
            if server is not None and now - server.started_at > self._options.patience:
                _say(f"{location.name} does not listen after {self._options.patience:.0f} seconds, and is ended")
                _signal(server, signal.SIGKILL)

    def _hear(self, seconds: float) -> None:
        """Wait for what servers tell, and take it."""
        for key, _ in self._selector.select(seconds):
            server: Server = key.data
            for message in _messages(server.connection):
                self._take_message(server, message)

    def _take_message(self, server: Server, message: bytes) -> None:
        location, now = server.location, time.monotonic()
        if message == RELOAD and server is location.current:
            location.wants_reload(now)
        elif message == LISTENS and server is location.coming:
            link = location.socket(self._options.sockets)
            new = link.with_suffix(".new")
            new.unlink(missing_ok=True)
            new.symlink_to(server.path.relative_to(link.parent))
            new.replace(link)
            location.listens(server, now)
            _say(f"{location.name} is served by process {server.pid}, {now - server.started_at:.1f} s after its start")
        elif not message:
            status = self._bury(server)
            is_listed = self._locations.get(location.name) is location
            if location.ended(server, now) and is_listed and not self._is_ending:
                how = f"signal {-status}" if status < 0 else f"status {status}"
                _say(f"{location.name}: process {server.pid} ended with {how}")
            if not is_listed:
                location.due_at = None

    def _bury(self, server: Server) -> int:
        """Take leave of a process whose line broke; return its exit status, negative for a signal."""
        self._selector.unregister(server.connection)
        server.connection.close()
        for path in (server.path, server.path.with_suffix(ASIDE)):
            path.unlink(missing_ok=True)
        _signal(server, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(server.pid, 0)[1])

    def _end_all(self) -> None:
        self._is_ending = True
        for server in self._servers:
            _signal(server, signal.SIGTERM)
        end = time.monotonic() + _GRACE
        while self._servers and time.monotonic() < end:
            self._hear(_TICK)
        for server in self._servers:
            self._bury(server)
        self._clear()


def _is_settled(location: Location, now: float) -> bool:
    return location.is_settled or (location.coming is not None and now - location.coming.started_at > _SLOW)


def _messages(connection: socket.socket) -> Iterator[bytes]:
    """Yield what has come over a line, a byte each; an empty one if it broke."""
    received = b""
    with suppress(ConnectionError):
        received = connection.recv(64)
    yield from (bytes([each]) for each in received)
    if not received:
        yield b""


def _signal(server: Server, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(server.pid, number)


def _say(text: str) -> None:
    print(f"module_servers: {text}", file=sys.stderr, flush=True)  # noqa: T201 - its log


def options_of(arguments: Any) -> Options:
    """Return the options that a command line gives."""
    return Options(
        arguments.workspace.absolute(),
        arguments.served.absolute(),
        arguments.sockets.absolute(),
        arguments.command,
        arguments.memory << 20,
        arguments.patience,
        max(2, os.cpu_count() or 1),
        _apart_of(arguments),
        arguments.ready,
    )


def _apart_of(arguments: Any) -> Apart | None:
    if arguments.original is None:
        return None
    original, copy = arguments.original.absolute(), arguments.copy.absolute()
    return Apart(original, copy, arguments.variables.absolute(), arguments.users.absolute(), arguments.logs)
