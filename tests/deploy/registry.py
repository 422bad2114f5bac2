"""A registry for images on this machine: the real one, from Debian's package ``docker-registry``."""

from __future__ import annotations

import contextlib
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests import needs
from tests.deploy.sshd import free_port

SETTINGS = """\
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {folder}/blobs}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@contextlib.contextmanager
def registry(folder: Path, port: int = 0) -> Iterator[str]:
    """Give the address of a registry that keeps its images in a folder."""
    program = needs.program("docker-registry")
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yml").write_text(SETTINGS.format(folder=folder, port=port))
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen([program, "serve", folder / "config.yml"], stdout=log, stderr=log)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=5):
                break
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)
