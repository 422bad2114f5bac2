"""Receivers of notifications that run on this machine: a web server, and a mail server."""

from __future__ import annotations

import contextlib
import json
import re
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
def web(answer: str = "") -> Iterator[Receiver]:
    """Give a server that notes what is posted; every answer is the same text."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if receiver.silent.is_set():
                threading.Event().wait(30)
            self.do_GET()

        def do_GET(self) -> None:
            self.send_response(receiver.status)
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_: object) -> None:
            pass

    with _served(ThreadingHTTPServer(("127.0.0.1", 0), Handler), receiver):
        yield receiver


@dataclass(frozen=True)
class CommentApi:
    """The part of a platform's API that comments need.

    Attributes:
        listed: The path of a pull request's comments.
        one: The path below which a comment is changed.
        change: The method that changes it.
        header: The header that has the token.
        kind: What stands before the token there.
    """

    listed: str
    one: str
    change: str
    header: str
    kind: str = ""


def github_comments(number: int, prefix: str = "") -> CommentApi:
    """https://docs.github.com/en/rest/issues/comments; GitHub Enterprise has a prefix."""
    issues = f"{prefix}/repos/yoda/sales/issues"
    return CommentApi(f"{issues}/{number}/comments", f"{issues}/comments/", "PATCH", "Authorization", "Bearer ")


def gitlab_notes(number: int, project: str, prefix: str = "") -> CommentApi:
    """https://docs.gitlab.com/api/notes/#merge-requests; a project is its number, or its path with ``%2F``."""
    notes = f"{prefix}/projects/{project}/merge_requests/{number}/notes"
    return CommentApi(notes, f"{notes}/", "PUT", "PRIVATE-TOKEN")


@contextlib.contextmanager
def comments_of(api: CommentApi, token: str) -> Iterator[Receiver]:
    """Give a server that keeps a pull request's comments as a platform does; ``got`` has their texts."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            page = int(query.rpartition("page=")[2])
            every = [{"id": place, "body": text} for place, text in enumerate(receiver.got)]
            self.answer(path == api.listed, 200, every[(page - 1) * 100 : page * 100])

        def do_POST(self) -> None:
            if self.answer(self.path == api.listed, 201, {"id": len(receiver.got)}):
                receiver.got.append(self.body())

        def do_PATCH(self) -> None:
            known = re.fullmatch(rf"{re.escape(api.one)}(\d+)", self.path)
            if self.answer(known is not None and self.command == api.change, 200, {}) and known:
                receiver.got[int(known[1])] = self.body()

        do_PUT = do_PATCH  # noqa: N815 - the server's name for it

        def body(self) -> str:
            return str(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"])

        def answer(self, known: bool, status: int, data: Any) -> bool:
            is_allowed = self.headers[api.header] == f"{api.kind}{token}"
            self.send_response(status if known and is_allowed else 404 if is_allowed else 401)
            self.end_headers()
            self.wfile.write(json.dumps(data).encode())
            return known and is_allowed

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
