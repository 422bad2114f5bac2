"""An image on its way to a host without a registry: ``docker save`` over SSH against a registry behind ``ssh -R``.

    python benchmarks/images.py [--far 50] [--repeat 3] [--json FILE]

The image is Python with a real environment (Dagster's) and one layer of code; it goes to a host with a separate Docker
Engine, in memory. What is timed is everything between a built image here and the same one there: saving and
sending, or pushing and pulling. ``code`` is the second deployment, of which one small layer is new. Needs root and
Debian's ``docker-registry``; ``--far MS`` needs gcc and iproute2 too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY))

from benchmarks.far_wire import FAR, wire
from dagster_module_builder.deploy.strategies.image_archive import ImageArchive
from tests import needs
from tests.deploy import dagster_host
from tests.deploy.host_engine import HostEngine, host_engine
from tests.deploy.registry import registry
from tests.deploy.sshd import SshHost, free_port, make_key
from tests.e2e import images
from tests.e2e.engine import Engine, running

DOCKERFILE = """\
FROM {base}
COPY environment /opt/environment
COPY code /opt/code
"""


@dataclass
class Bench:
    """The machine that deploys with its image and registry, and a host."""

    folder: Path
    engine: Engine
    host: SshHost
    there: HostEngine
    near: str | None
    registry: str
    socket: Path
    image: str
    turn: int = 0

    def build(self, environment: int) -> None:
        """Build the image with new code; with another number, its environment is new too."""
        self.turn += 1
        (self.folder / "context/code/code.py").write_text(f"# {time.time_ns()}\n" * 50)
        (self.folder / "context/environment/mark").write_text(str(environment))
        self.engine.docker("build", "--quiet", "--tag", self.image, self.folder / "context")

    def ssh(self, *options: str) -> list[str]:
        known = self.folder / "known_hosts"
        known.write_text(self.host.known_hosts_line)
        inside = ["ip", "netns", "exec", self.near] if self.near else []
        trusted = ["-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes"]
        key = ["-i", str(self.host.client_key), "-o", "IdentitiesOnly=yes", "-p", str(self.host.port)]
        return [*inside, "ssh", *trusted, *key, *options, "--", self.host.address]

    def save(self) -> int:
        """``docker save`` and ``docker load``, nothing left out."""
        archive = ImageArchive(self.image)
        return self._load(archive, [])

    def archive(self) -> int:
        """The same, without the layers that the host has: what a deployment does."""
        archive = ImageArchive(self.image)
        images = "docker image ls --all --quiet --no-trunc | sort -u"
        inspect = f"{images} | xargs -r docker image inspect --format '{{{{json .RootFS.Layers}}}}'"
        said = subprocess.run([*self.ssh(), inspect], check=True, capture_output=True, text=True).stdout
        return self._load(archive, [json.loads(line) for line in said.splitlines()])

    def _load(self, archive: ImageArchive, there: list[list[str]]) -> int:
        load = [*self.ssh(), "docker load --quiet"]
        process = subprocess.Popen(load, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert process.stdin is not None
        sent = archive.write(process.stdin, there)
        process.stdin.close()
        assert process.wait() == 0
        return sent

    def tunnel(self) -> int:
        """Push to a registry here, and have the host pull from it through ``ssh -R``."""
        name = f"{self.registry}/bench"
        self.engine.docker("tag", self.image, name)
        before = _size(self.folder / "registry")
        said = self.engine.docker("push", name)
        digest = re.findall("digest: (sha256:[0-9a-f]+)", said)[-1]
        # A registry serves whoever asks, by whatever name.
        port = free_port()
        opened = ["-o", "ExitOnForwardFailure=yes", "-R", f"127.0.0.1:{port}:{self.socket}"]
        pull = [*self.ssh(*opened), f"docker pull --quiet 127.0.0.1:{port}/bench@{digest}"]
        subprocess.run(pull, check=True, stdout=subprocess.DEVNULL)
        return _size(self.folder / "registry") - before

    def fresh(self) -> None:
        """Take every image off the host, and out of the registry."""
        self.there.docker("system", "prune", "--all", "--force")
        shutil.rmtree(self.folder / "registry/blobs", ignore_errors=True)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("data") if path.is_file())


@contextlib.contextmanager
def second_door(folder: Path) -> Iterator[Path]:
    """Serve the registry's folder at a socket too: ``ssh`` may be in another network than the engine that pushes."""
    socket = folder / "socket"
    settings = (folder / "config.yml").read_text()
    second = folder / "second.yml"
    second.write_text(re.sub(r"http: .*", f"http: {{net: unix, addr: {socket}}}", settings))
    with (folder / "second.log").open("wb") as log:
        process = subprocess.Popen([needs.program("docker-registry"), "serve", second], stdout=log, stderr=log)
    try:
        yield socket
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def bench(near: str | None, far: str | None) -> Iterator[Bench]:
    """Make everything."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dmb-")))
        engine = stack.enter_context(running())
        base = images.stack()["PYTHON_IMAGE"]
        images.provide(engine, base)
        environment = Path(dagster_host.python()).parents[1]
        shutil.copytree(environment, folder / "context/environment", symlinks=True)
        (folder / "context/code").mkdir()
        (folder / "context/Dockerfile").write_text(DOCKERFILE.format(base=base.name))
        there = stack.enter_context(host_engine(engine, namespace=far))
        address = stack.enter_context(registry(folder / "registry"))
        socket = stack.enter_context(second_door(folder / "registry"))
        environ = {"DOCKER_HOST": there.host, "PATH": f"{needs.program('docker').parent}:/usr/bin:/bin"}
        where = (FAR, 2200) if far else ("127.0.0.2", free_port("127.0.0.2"))
        host = SshHost(folder / "host", *where, make_key(folder / "key"), environ, far)
        stack.callback(host.stop)
        host.start()
        image = f"dmb-benchmark-{free_port()}:now"
        made = Bench(folder, engine, host, there, near, address, socket, image)
        made.build(0)
        stack.callback(engine.docker, "image", "rm", "--force", image, f"{address}/bench")
        yield made


def measure(made: Bench, repeat: int, place: str) -> list[dict[str, object]]:
    """Return the seconds of each way, first with nothing on the host, then with one layer that is new."""
    ways: dict[str, Callable[[], int]] = {"archive": made.archive, "save": made.save, "tunnel": made.tunnel}
    rows: list[dict[str, object]] = []
    for name, way in ways.items():
        found: dict[str, list[float]] = {"first": [], "code": []}
        sent = {}
        for _ in range(repeat):
            made.fresh()
            for case, times in found.items():
                made.build(0)
                started = time.perf_counter()
                sent[case] = way()
                times.append(time.perf_counter() - started)
        for case, times in found.items():
            rows.append({"place": place, "way": name, "case": case, "seconds": round(statistics.median(times), 2),
                         "megabytes": round(sent[case] / 1e6, 2)})  # fmt: skip
            print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--far", type=float, default=0, help="round trip in milliseconds")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        near = far = None
        if given.far:
            made = stack.enter_context(wire("dmbi", given.far))
            near, far = made.near, made.far
        place = f"far, {given.far:g} ms" if given.far else "loopback"
        rows = measure(stack.enter_context(bench(near, far)), given.repeat, place)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
