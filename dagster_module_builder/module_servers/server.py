"""What a fork does: it serves one code location, as ``dagster api grpc`` does, and talks with the process above it."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

#: What a server tells: it listens, or asks for a successor.
LISTENS, RELOAD = b"l", b"r"
#: What it is told: its successor listens, so that it ends with its last run; or there is none.
SUCCEEDED, FAILED = b"s", b"f"

#: What the sockets of servers end with that have a successor and runs still.
ASIDE = ".aside"
#: Seconds after which such a server no longer counts as answering.
_FORWARD_LIMIT = 10.0
#: Seconds that calls may still take when a successor has taken over; to start a run takes seconds.
_CALLS_LIMIT = 120.0
_FORWARDED = "forwarded"
#: Variables that Dagster would take for options.
_OPTIONS = ("DAGSTER_GRPC_PORT", "DAGSTER_GRPC_SOCKET", "DAGSTER_GRPC_HOST", "DAGSTER_LOCATION_NAME")


class Line:
    """A server's line to the process above it: a byte a message.

    Attributes:
        step_aside: What makes room for a successor; a server that does not listen yet just ends.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._answer: bytes = b""
        self._answered = threading.Event()
        self.step_aside: Callable[[], object] = lambda: os._exit(0)

    def listens(self) -> None:
        """Tell that the server listens."""
        self._connection.sendall(LISTENS)

    def has_successor(self) -> bool:
        """Ask for a server with the code as it is now, and wait until it listens; false if none does."""
        self._connection.sendall(RELOAD)
        self._answered.wait()
        return self._answer == SUCCEEDED

    def follow(self) -> None:
        """Take what is told, until there is a successor, or the process above is gone."""
        while (told := self._connection.recv(1)) == FAILED:
            self._answer = told
            self._answered.set()
            self._answered.clear()
        self._answer = told
        # First, so that whoever hears of the successor reaches it.
        self.step_aside()
        self._answered.set()


def serve(arguments: Sequence[str], name: str, own_socket: Path, connection: socket.socket, memory: int) -> None:
    """Serve a code location until told to end.

    Args:
        arguments: What ``dagster api grpc`` loads it with.
        name: Its name.
        own_socket: The socket to listen on; earlier and later servers of the location have others beside it.
        connection: The line to the process above.
        memory: What it may allocate, in bytes; 0 for no limit.
    """
    from dagster._cli.api import api_cli

    for variable in _OPTIONS:
        os.environ.pop(variable, None)
    if (numpy := sys.modules.get("numpy")) is not None:
        # All forks would draw the same numbers.
        numpy.random.seed()
    if memory:
        _limit(memory)
    line = Line(connection)
    threading.Thread(target=line.follow, name="line", daemon=True).start()
    _replace_classes(line, own_socket)
    options = ["--socket", str(own_socket), "--location-name", name, "--lazy-load-user-code"]
    options += ["--use-python-environment-entry-point", "--inject-env-vars-from-instance"]
    api_cli.main(["grpc", *options, *arguments], prog_name="dagster api", standalone_mode=False)


def _limit(size: int) -> None:
    """Limit what this process may allocate: to its private, writable memory, not to the addresses of libraries."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (size if hard == resource.RLIM_INFINITY else min(size, hard), hard))


@contextlib.contextmanager
def _unlimited() -> Iterator[None]:
    """Have no limit for a moment, so that a process that is started in it has none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _replace_classes(line: Line, own_socket: Path) -> None:
    """Have Dagster's command make servers that reload by a successor, and tell when they listen."""
    from dagster._grpc import server

    server.DagsterApiServer = _servicer(server.DagsterApiServer, line, own_socket)
    server.DagsterGrpcServer = _server(server.DagsterGrpcServer, line, own_socket)


def _servicer(base: Any, line: Line, own_socket: Path) -> Any:
    import grpc
    from dagster._grpc.__generated__ import dagster_api_pb2

    starting_runs = threading.Lock()

    class Servicer(base):  # type: ignore[misc] # Dagster is not where this is checked
        def ReloadCode(self, _request: Any, context: Any) -> Any:  # noqa: N802 - Dagster's name
            if not line.has_successor():
                context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the changed code did not load in time")
            return dagster_api_pb2.ReloadCodeReply()

        def StartRun(self, request: Any, context: Any) -> Any:  # noqa: N802
            # One at a time: the limit is the process's.
            with starting_runs, _unlimited():
                return super().StartRun(request, context)

        def CancelExecution(self, request: Any, context: Any) -> Any:  # noqa: N802
            reply = super().CancelExecution(request, context)
            return reply if _is_yes(reply) else _of_older("CancelExecution", request, context, own_socket) or reply

        def CanCancelExecution(self, request: Any, context: Any) -> Any:  # noqa: N802
            reply = super().CanCancelExecution(request, context)
            return reply if _is_yes(reply) else _of_older("CanCancelExecution", request, context, own_socket) or reply

    return Servicer


def _of_older(method: str, request: Any, context: Any, own_socket: Path) -> Any:
    """Return what a server from before a reload answers, which has its runs still; None if none has this one."""
    import grpc
    from dagster._grpc.__generated__ import DagsterApiStub

    if _FORWARDED in dict(context.invocation_metadata()):
        return None
    location = own_socket.name.rsplit(".", 2)[0]
    for other in own_socket.parent.glob(f"{location}.*{ASIDE}"):
        with contextlib.suppress(grpc.RpcError), grpc.insecure_channel(f"unix:{other}") as channel:
            ask = getattr(DagsterApiStub(channel), method)
            reply = ask(request, timeout=_FORWARD_LIMIT, metadata=[(_FORWARDED, "1")])
            if _is_yes(reply):
                return reply
    return None


def _is_yes(reply: Any) -> bool:
    """Return whether a server has the run that it was asked to end, or whether it can end it."""
    fields = ("serialized_cancel_execution_result", "serialized_can_cancel_execution_result")
    (text,) = (getattr(reply, field) for field in fields if hasattr(reply, field))
    said = json.loads(text)
    return bool(said.get("success") or said.get("can_cancel"))


def _server(base: Any, line: Line, own_socket: Path) -> Any:
    import grpc
    from dagster._grpc.__generated__.dagster_api_pb2_grpc import add_DagsterApiServicer_to_server

    class Server(base):  # type: ignore[misc]
        def serve(self) -> None:
            start = self.server.start

            def started() -> None:
                start()
                _open_to_clients(own_socket)
                # Ctrl-C reaches all processes of a terminal; the one above decides when its servers end.
                signal.signal(signal.SIGINT, lambda *_: None)
                line.step_aside = self._step_aside
                line.listens()

            self.server.start = started
            # After it stopped listening, this waits for the last run.
            super().serve()

        def _step_aside(self) -> None:
            """Send clients elsewhere, also connected ones; the successor asks for runs that are still here."""
            self._aside = grpc.server(ThreadPoolExecutor(2))
            add_DagsterApiServicer_to_server(self._api_servicer, self._aside)
            self._aside.add_insecure_port(f"unix:{own_socket.with_suffix(ASIDE)}")
            self._aside.start()
            _open_to_clients(own_socket.with_suffix(ASIDE))
            self.server.stop(_CALLS_LIMIT)

    return Server


def _open_to_clients(path: Path) -> None:
    """Let whoever reaches a socket connect to it: its folder decides who does."""
    with contextlib.suppress(OSError):
        path.chmod(0o666)
