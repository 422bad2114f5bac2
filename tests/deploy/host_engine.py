"""A Docker Engine that only one host has: with its own images and containers, on a separate file system in memory."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests import needs
from tests.e2e.engine import Engine

#: It touches nothing that another engine here has made.
ALONE = ("--iptables=false", "--ip-forward=false", "--ip-masq=false")


@dataclass(frozen=True)
class HostEngine(Engine):
    """The engine, and the folder in which everything of it lies."""

    folder: Path = Path()

    @property
    def host(self) -> str:
        """What DOCKER_HOST is on the host."""
        return self.environ["DOCKER_HOST"]

    @contextlib.contextmanager
    def filled(self, spare: int) -> Iterator[None]:
        """Leave so many bytes free where it keeps its images."""
        filler = self.folder / "root/filler"
        found = os.statvfs(filler.parent)
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - spare)
        try:
            yield
        finally:
            filler.unlink()

    def containers(self) -> set[str]:
        """Return the names of the containers that run."""
        return set(self.docker("ps", "--format", "{{.Names}}").split())


def environ_of(made: Engine) -> dict[str, str]:
    """Return what a host's sessions have to have set to speak to its engine."""
    path = f"{needs.program('docker').parent}:/usr/local/bin:/usr/bin:/bin"
    return {"PATH": path, **{key: made.environ[key] for key in ("DOCKER_HOST", "DOCKER_CONFIG") if key in made.environ}}


def forget_images(builder: Engine, name: str) -> None:
    """Remove what was built under a name, in whichever registry; the layers stay for the next build."""
    tags = builder.docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split()
    if ours := [tag for tag in tags if tag.rpartition(":")[0].rpartition("/")[2] == name]:
        builder.docker("image", "rm", "--no-prune", *ours)


@contextlib.contextmanager
def host_engine(like: Engine, size: str = "3g", namespace: str | None = None) -> Iterator[HostEngine]:
    """Give an engine whose images have so much room.

    Args:
        like: The engine whose command line, with its Compose, serves here too.
        size: As ``mount`` takes it for a file system in memory, which is as large as what is in it.
        namespace: The network that it is in.
    """
    needs.root()
    program = needs.program("dockerd")
    # A short path: those of sockets may have a hundred characters.
    folder = Path(tempfile.mkdtemp(prefix="dmb-"))
    root, socket = folder / "root", f"unix://{folder}/docker.sock"
    root.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "dmb", root]
    needs.need(subprocess.run(mount, capture_output=True, check=False).returncode == 0, "the right to mount a tmpfs")
    # "ip netns exec" would hide the control groups.
    inside = ["nsenter", f"--net=/run/netns/{namespace}"] if namespace else []
    # With "none" it would take away docker0, which is another engine's; what is never used needs no address outside.
    bridge = "none" if namespace else f"dmb{secrets.token_hex(4)}"
    if not namespace:
        subprocess.run(["ip", "link", "add", bridge, "type", "bridge"], check=True)
        address = f"198.18.{secrets.randbelow(256)}.1/24"
        subprocess.run(["ip", "addr", "add", address, "dev", bridge], check=True)
    command = [*inside, program, f"--host={socket}", f"--data-root={root}", f"--exec-root={folder}/exec",
               f"--pidfile={folder}/pid", "--log-level=warn", f"--bridge={bridge}", *ALONE]  # fmt: skip
    environ = {**os.environ, "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"}
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log, env=environ, start_new_session=True)
    made = replace(HostEngine(like.environ), environ={**like.environ, "DOCKER_HOST": socket}, folder=folder)
    try:
        _await(made, daemon)
        yield made
        running = made.docker("ps", "--all", "--quiet").split()
        made.docker("rm", "--force", *running) if running else None
    finally:
        daemon.terminate()
        daemon.wait(30)
        for place in (*(folder / "exec/netns").glob("*"), root):
            subprocess.run(["umount", "--lazy", place], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", bridge], capture_output=True, check=False)
        subprocess.run(["rm", "-rf", folder], check=True)


def _await(made: HostEngine, daemon: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and daemon.poll() is None:
        if needs.engine_answers(made.host):
            return
        time.sleep(0.1)
    raise AssertionError((made.folder / "log").read_text())
