"""A registry for images on this machine: the real one, from Debian's package ``docker-registry``."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import bcrypt

from tests import needs
from tests.ports import free_port

SETTINGS = """\
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {folder}/blobs}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
"""
PASSWORD = "auth: {{htpasswd: {{realm: tests, path: {folder}/users}}}}\n"


@contextlib.contextmanager
def registry(folder: Path, port: int = 0, login: tuple[str, str] | None = None) -> Iterator[str]:
    """Give the address of a registry that keeps its images in a folder, for all users or for one."""
    program = needs.program("docker-registry")
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    settings = SETTINGS
    if login:
        settings += PASSWORD
        (folder / "users").write_bytes(login[0].encode() + b":" + bcrypt.hashpw(login[1].encode(), bcrypt.gensalt(4)))
    (folder / "config.yml").write_text(settings.format(folder=folder, port=port))
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen([program, "serve", folder / "config.yml"], stdout=log, stderr=log)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
                break
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


class CutWire:
    """A wire to a registry that breaks after so many bytes and stays broken until it is recovered."""

    def __init__(self, registry: str, after: int) -> None:
        host, _, port = registry.partition(":")
        self.registry = (host, int(port))
        self.left = after
        self.was_cut = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    @property
    def address(self) -> str:
        """Where the registry seems to be."""
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    def repair(self) -> None:
        self.left = 1 << 40

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self.listener.accept()[0]
                if self.left <= 0:
                    near.close()
                    continue
                far = socket.create_connection(self.registry)
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with source, target, contextlib.suppress(OSError):
            while (data := source.recv(65536)) and self.left > 0:
                self.left -= len(data)
                target.sendall(data)
            self.was_cut |= self.left <= 0
            for one in (source, target):
                one.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> CutWire:  # noqa: PYI034 - typing.Self is younger than our oldest Python
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone would not wake who accepts, and the port would stay taken.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()
