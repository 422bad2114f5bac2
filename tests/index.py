"""A package index on this machine, with wheels that are made here: one of them may have been changed on its way."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import uv

from tests import needs

#: A locked package of pure Python that Dagster needs, and nothing else.
PINNED, PACKAGE = "toposort==1.10", "toposort"


def wheel(
    folder: Path, name: str, version: str, files: Mapping[str, str], *, requires: Sequence[str] = (), script: str = ""
) -> Path:
    """Write a wheel of pure Python; ``script`` is the name of a program that prints the version."""
    info = f"{name}-{version}.dist-info"
    required = "".join(f"Requires-Dist: {one}\n" for one in requires)
    if script:
        files = {**files, f"{name}_program.py": f"def main():\n    print('{version}')\n"}
        files = {**files, f"{info}/entry_points.txt": f"[console_scripts]\n{script} = {name}_program:main\n"}
    meta = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{required}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    return _packed(folder / f"{name}-{version}-py3-none-any.whl", {**files, **meta}, info)


def _packed(path: Path, files: Mapping[str, str], info: str) -> Path:
    lines = [f"{name},sha256={_urlsafe(text)},{len(text.encode())}\n" for name, text in files.items()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": "".join([*lines, f"{info}/RECORD,,\n"])}.items():
            archive.writestr(name, text)
    return path


def _urlsafe(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def genuine(folder: Path) -> Path:
    """Fetch the wheel that the lock means."""
    needs.registry()
    download = ["tool", "run", "--quiet", "pip", "download", "--quiet", "--no-deps", "-d", folder, PINNED]
    subprocess.run([uv.find_uv_bin(), *download], check=True, capture_output=True)
    return next(folder.glob(f"{PACKAGE}-*.whl"))


def changed(original: Path, folder: Path) -> Path:
    """Write the wheel again, whole and valid, with one line more in its code."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(original) as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist() if not name.endswith("RECORD")}
    files[f"{PACKAGE}.py"] += "\nCHANGED = True\n"
    return _packed(folder / original.name, files, original.name.rpartition("-py")[0] + ".dist-info")


@contextmanager
def serving(*wheels: Path) -> Iterator[str]:
    """Serve wheels as an index does (https://peps.python.org/pep-0503/); gives its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler({path.name: path for path in wheels}))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/simple"
    finally:
        server.shutdown()
        server.server_close()


def _handler(wheels: Mapping[str, Path]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.wfile.write(self.answer())

        def answer(self) -> bytes:
            name = self.path.strip("/").rpartition("/")[2]
            body = wheels[name].read_bytes() if name in wheels else page(wheels, name)
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "text/html" if name not in wheels else "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            return body

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def page(wheels: Mapping[str, Path], project: str) -> bytes:
    """Return a project's page; the index vouches for whatever it serves."""
    files = [path for path in wheels.values() if re.sub(r"[-_.]+", "-", path.name.partition("-")[0]) == project]
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return "".join(f'<a href="/{name}#sha256={digest}">{name}</a>\n' for name, digest in digests.items()).encode()
