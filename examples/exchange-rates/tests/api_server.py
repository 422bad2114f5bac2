"""A server on this machine that answers as the API does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PAGES = [
    [{"day": "2026-03-02", "currency": "USD", "rate": 1.08}, {"day": "2026-03-02", "currency": "GBP", "rate": 0.85}],
    [{"day": "2026-03-03", "currency": "USD", "rate": 1.09}],
]


class ApiServer(ThreadingHTTPServer):
    """Answers with ``pages``, but first once with each status in ``failures``."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages: list[list[dict[str, Any]]] = PAGES
        self.failures: list[int] = []
        self.url = f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer

    def do_GET(self) -> None:
        path, _, page = self.path.partition("?page=")
        status = self.server.failures.pop(0) if self.server.failures else 200 if path == "/v1/rates" else 404
        self.send_response(status)
        self.end_headers()
        if status == 200:
            number = int(page)
            next_page = number + 1 if number < len(self.server.pages) else None
            self.wfile.write(json.dumps({"rates": self.server.pages[number - 1], "next_page": next_page}).encode())

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def serving() -> Iterator[ApiServer]:
    """Run the server for a while."""
    with ApiServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()
