"""Receivers of notifications that run on this machine: a web server, and a mail server."""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """What a server got: decoded JSON, or mails as lines; ``silent`` has it never answer."""

    port: int = 0
    got: list[Any] = field(default_factory=list)
    silent: threading.Event = field(default_factory=threading.Event)
    status: int = 200


@contextlib.contextmanager
def web() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if receiver.silent.is_set():
                threading.Event().wait(30)
            self.send_response(receiver.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with _served(ThreadingHTTPServer(("127.0.0.1", 0), Handler), receiver):
        yield receiver


@contextlib.contextmanager
def comments_of(number: int, token: str) -> Iterator[Receiver]:
    """Give a server that keeps a pull request's comments as GitHub's REST API does; ``got`` has their texts.

    https://docs.github.com/en/rest/issues/comments
    """
    receiver = Receiver()
    listed, one = f"/repos/yoda/sales/issues/{number}/comments", "/repos/yoda/sales/issues/comments/"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            page = int(query.rpartition("page=")[2])
            every = [{"id": place, "body": text} for place, text in enumerate(receiver.got)]
            self.answer(path == listed, 200, every[(page - 1) * 100 : page * 100])

        def do_POST(self) -> None:
            receiver.got.append(self.body())
            self.answer(self.path == listed, 201, {"id": len(receiver.got) - 1})

        def do_PATCH(self) -> None:
            receiver.got[int(self.path.removeprefix(one))] = self.body()
            self.answer(True, 200, {})

        def body(self) -> str:
            return str(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"])

        def answer(self, known: bool, status: int, data: Any) -> None:
            is_allowed = self.headers["Authorization"] == f"Bearer {token}"
            self.send_response(status if known and is_allowed else 404 if is_allowed else 401)
            self.end_headers()
            self.wfile.write(json.dumps(data).encode())

        def log_message(self, *_: object) -> None:
            pass

    with _served(ThreadingHTTPServer(("127.0.0.1", 0), Handler), receiver):
        yield receiver


@contextlib.contextmanager
def mail() -> Iterator[Receiver]:
    """Give a server that speaks SMTP (RFC 5321) with AUTH PLAIN, without encryption."""
    receiver = Receiver()

    class Handler(socketserver.StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        def handle(self) -> None:
            self.say("220 test")
            for raw in iter(self.rfile.readline, b""):
                line = raw.decode().strip()
                verb = line[:4].upper()
                if verb == "DATA":
                    self.say("354 go on")
                    lines = iter(self.rfile.readline, b".\r\n")
                    receiver.got.append("".join(each.decode() for each in lines))
                elif verb == "AUTH":
                    receiver.got.append(line)
                    self.say("235 fine")
                    continue
                if verb == "EHLO":
                    self.say("250-test")
                    self.say("250 AUTH PLAIN")
                elif verb == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 fine")

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    with _served(server, receiver):
        yield receiver


@contextlib.contextmanager
def _served(server: socketserver.ThreadingMixIn | Any, receiver: Receiver) -> Iterator[None]:
    server.daemon_threads = True
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
