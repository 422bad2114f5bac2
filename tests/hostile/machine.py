"""A person's machine with canaries in every place that a module could try, and servers that note who comes."""

from __future__ import annotations

import os
import shutil
import socket
import socketserver
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.hostile.modules import DEPLOYMENT

#: What is in the home folder and in the machine's files: no output and no file may have it.
CANARY = "canary8home"
#: What is in the workspace's and the other module's files.
OTHERS = "canary8other"
SECRETS = {
    "home/.bashrc": f"# {CANARY}\n",
    "home/.ssh/id_canary": f"{CANARY}\n",
    "home/.ssh/config": f"# {CANARY}\n",
    "home/.gitconfig": f"# {CANARY}\n",
    # What any reader that came by a link would take for the module's own.
    "home/workspace.yaml": f"load_from:\n  - python_package:\n      package_name: {CANARY}\n"
    "      location_name: guest\n",
    "home/.env": f"GUEST_DB_PORT='15441'\nGUEST_HOST='{CANARY}'\n",
    "home/docker-compose.yml": f"services:\n  guest_db:\n    image: {CANARY}\n",
    "home/dockerfile.snippet": f"RUN {CANARY}\n",
    "home/pyproject.toml": f'[project]\nname = "guest"\nversion = "0"\ndependencies = ["{CANARY}"]\n',
    "home/uv.lock": f'[[package]]\nname = "{CANARY}"\nversion = "0"\n',
    "home/requirements.txt": f"{CANARY}\n",
    "home/.dagster-module.json": f'{{"template_version": "{CANARY}", "answers": {{"name": "{CANARY}"}}}}\n',
    "home/yoda/deployment.yaml": DEPLOYMENT.replace("Yoda Ltd", CANARY),
    "home/yoda/.env.deploy": f"GUEST_DB_PASSWORD='{CANARY}'\n",
    "home/definitions.py": f"{CANARY} = 1\n",
    "etc/shadow": f"root:{CANARY}:19000:0:99999:7:::\n",
    "etc/ssl/private.pem": f"{CANARY}\n",
    "etc/ld.so.preload": f"/{CANARY}.so\n",
}
HONEST = {
    "pyproject.toml": '[project]\nname = "guest"\nversion = "0"\ndependencies = []\n',
    "src/guest_dagster/__init__.py": "",
    "src/guest_dagster/definitions.py": "import dagster as dg\n\ndefs = dg.Definitions()\n",
    "tests/test_x.py": "def test_x():\n    pass\n",
    "README.md": "# Guest\n",
    "deploy/yoda/deployment.yaml": DEPLOYMENT,
    "deploy/yoda/.env.deploy": "GUEST_DB_PASSWORD='x'\n",
    "deploy/yoda/known_hosts": "",
}
#: Programs that modules name, and that no task has a use for.
NAMED_BY_MODULES = ("awesomecloud", "curl", "git-lfs", "gpg", "less", "nc", "pre-commit", "vi", "wget")
#: Compose accepts every file; there is no engine.
DOCKER = """\
#!/bin/sh
case "$*" in
    *"compose version"*) echo 2.40.0 ;;
    *" config "*) echo '{"services": {}}' ;;
    *) echo 'no engine' >&2; exit 1 ;;
esac
"""
#: Bytes of the largest file whose content is looked at.
_LARGEST = 1 << 20


def written(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def put_programs(folder: Path, ran: Path) -> None:
    """Write the programs that leave a mark, and a Docker without an engine."""
    folder.mkdir()
    for name in NAMED_BY_MODULES:
        (folder / name).write_text(f"#!/bin/sh\ntouch '{ran}/{name}'\nexit 1\n")
    (folder / "docker").write_text(DOCKER)
    for path in folder.iterdir():
        path.chmod(0o755)


Seen = dict[str, "tuple[int, object]"]


def seen(top: Path) -> Seen:
    """Return every file of a machine: its mode, and its content, where it leads to, or its size."""
    return {str(Path(path).relative_to(top)): _state(path) for path in _paths(os.fspath(top))}


def _paths(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.path
            if entry.is_dir(follow_symlinks=False):
                yield from _paths(entry.path)


def _state(path: str) -> tuple[int, object]:
    state = os.lstat(path)
    if stat.S_ISLNK(state.st_mode):
        return state.st_mode, Path(path).readlink()
    if not stat.S_ISREG(state.st_mode):
        return state.st_mode, None
    return state.st_mode, Path(path).read_bytes() if state.st_size < _LARGEST else (state.st_size, state.st_mtime_ns)


@dataclass
class Visitors:
    """What was asked of a server.

    Attributes:
        address: Where it listens.
        asked: The first line of each request.
    """

    address: str
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def so_far(self) -> list[str]:
        """Return what was asked since the last time: connections are taken one after the other, this one last."""
        host, _, port = self.address.partition(":")
        with socket.create_connection((host, int(port))) as mine:
            mine.sendall(b"LAST\r\n\r\n")
            mine.recv(1)
        asked = [line for line in self.asked if line != "LAST"]
        self.asked.clear()
        return asked


@contextmanager
def server(host: str, status: str) -> Iterator[Visitors]:
    """Listen at an address of this machine, and answer everything with a status."""

    class Answer(socketserver.StreamRequestHandler):
        timeout = 10

        def handle(self) -> None:
            visitors.asked.append(self.rfile.readline(1000).decode("latin-1").strip())
            self.wfile.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

    with socketserver.TCPServer((host, 0), Answer) as listening:
        visitors = Visitors(f"{host}:{listening.server_address[1]}")
        serving = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield visitors
        finally:
            listening.shutdown()
            serving.join()


def copied(machine: Path, place: Path) -> Path:
    """Return a copy of a machine."""
    shutil.copytree(machine, place, symlinks=True)
    return place
