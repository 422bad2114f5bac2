"""A module whose image is quick to build and to start, where a test is about the image's way and not about Dagster.

The faults of that way are a dozen cases; a real code server takes about ten seconds for each, on which none of them
depends. Engine, Compose, registry, SSH and the host's side are real. ``test_docker.py`` has the real Dagster.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import multiprocessing
import os
import signal
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.deploy.configure import configure
from dagster_module_builder.deploy.deploy import Options, deploy
from dagster_module_builder.deploy.hosts import host_run
from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.status import status
from tests import needs
from tests.deploy import sshd
from tests.deploy.host_engine import HostEngine, environ_of, forget_images
from tests.deploy.modules import make_module, set_value, simplify
from tests.deploy.quick_dagster import QuickDagster
from tests.deploy.sshd import SshHost
from tests.e2e.engine import Engine

OPTIONS = Options(allow_dirty=True, settle=False)
MODULE = "sales-report"
#: What stands in for Dagster in the image: definitions load, and a server serves until it is stopped.
DAGSTER = """\
#!/bin/sh
[ "$1" = definitions ] && echo Validation successful && exit
trap exit TERM
sleep 1000 & wait
"""
#: Docker itself would check it too late for a deployment, which does so at once.
DOCKERFILE = """\
ARG PYTHON_IMAGE
FROM ${PYTHON_IMAGE}
HEALTHCHECK --interval=1h CMD true
ARG MODULE=.
COPY ${MODULE}/src /opt/dagster/src
USER 1000:1000
"""


def base_image(engine: Engine) -> str:
    """Return the name of an image with a shell and this ``dagster``: a megabyte, which is soon everywhere."""
    shell = needs.program("busybox").read_bytes()
    name = f"dmb-quick:{hashlib.sha256(shell + DAGSTER.encode()).hexdigest()[:12]}"
    if not engine.has_image(name):
        with tempfile.NamedTemporaryFile(suffix=".tar") as packed:
            with tarfile.open(fileobj=packed, mode="w") as archive:
                for path, text in {
                    "bin/sh": shell,
                    "bin/sleep": shell,
                    "usr/local/bin/dagster": DAGSTER.encode(),
                }.items():
                    member = tarfile.TarInfo(path)
                    member.size, member.mode = len(text), 0o755
                    archive.addfile(member, io.BytesIO(text))
            packed.flush()
            engine.docker("import", packed.name, name)
    return name


@dataclass
class QuickPlace:
    """A workspace with one module, and a host with a separate engine that it is deployed to."""

    root: Path
    module: Path
    host: SshHost
    dagster: QuickDagster
    there_runs: HostEngine
    registry: str
    value: int = 0

    @property
    def there(self) -> Path:
        return self.host.base / "modules" / MODULE

    @property
    def server(self) -> str:
        """The container that Dagster is told of."""
        return str(self.dagster.locations()["sales_report"]["server"])

    def running(self) -> str:
        """Return the release that Dagster has its code from."""
        return Path(str(self.dagster.locations()["sales_report"]["release"])).name

    def deploy(self, listen: Callable[[str, str], None] = lambda *_: None) -> str:
        """Deploy something that was never there."""
        self.value += 1
        set_value(self.module, self.value)
        (outcome,) = deploy(find(self.root, "yoda"), OPTIONS, listen)
        return outcome.releases[MODULE]

    def change(self, **changes: object) -> None:
        path = self.module / "deploy/yoda/deployment.yaml"
        data = yaml.safe_load(path.read_text())
        data["docker"] |= changes
        path.write_text(yaml.safe_dump(data))

    def begin(self, listen: Callable[[str, str], None] = lambda *_: None) -> multiprocessing.process.BaseProcess:
        """Deploy in a separate process, which may be killed."""

        def run() -> None:
            os.setsid()
            self.deploy(listen)

        self.value += 1
        client = multiprocessing.get_context("fork").Process(target=run)
        client.start()
        return client

    def await_free(self, limit: float = 120) -> None:
        """Wait until no deployment runs, and nothing is half done."""
        until = time.monotonic() + limit
        while True:
            (found,) = status(find(self.root, "yoda"))
            if "error" not in found and found["lock"] is None and not found["unfinished"]:
                return
            assert time.monotonic() < until, found
            time.sleep(0.2)

    def host_scripts(self) -> list[int]:
        """Return the processes of the host's side of a conversation."""
        return [pid for session in self.host.sessions() for pid in _below(session) if _is_script(pid)]

    def kill_host_side(self) -> None:
        for pid in self.host_scripts():
            os.kill(pid, signal.SIGKILL)


def _below(pid: int) -> list[int]:
    children = sshd._children(pid)
    return [*children, *(one for child in children for one in _below(child))]


def _is_script(pid: int) -> bool:
    try:
        return b"host_side" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def quick_place(
    root: Path, host: SshHost, engine: Engine, there_runs: HostEngine, registry: str
) -> Iterator[QuickPlace]:
    """Give a workspace whose module is to be deployed to a host."""
    module = simplify(make_module(root))
    dagster = QuickDagster(host.base)
    try:
        dagster.prepare()
        answers = {
            "deployment": "yoda", "client": "Yoda", "hosts": f"{host.address}:{host.port}", "base_path": "~/srv",
            "identity_file": str(host.client_key), "user": sshd.user(), "dagster_url": dagster.url,
            "registry": registry, "python_image": base_image(engine), "image": f"quick-{host.port}",
            "storage": str(host.folder / "storage"),
        }  # fmt: skip
        made = configure(root, module, "docker", answers)
        (made.folder / "known_hosts").write_text(host.known_hosts_line)
        (made.folder / "Dockerfile").write_text(DOCKERFILE)
        env = made.folder / ".env.deploy"
        env.write_text(env.read_text().replace("TOKEN=''", "TOKEN='s3cret'"))
        yield QuickPlace(root, module, host, dagster, there_runs, registry)
    finally:
        dagster.stop()
        if left := there_runs.docker("ps", "--all", "--quiet").split():
            there_runs.docker("rm", "--force", *left)
        forget_images(engine, f"quick-{host.port}")


@contextlib.contextmanager
def building(engine: Engine) -> Iterator[None]:
    """Have this process build with the engine of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for key in ("DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_BUILDKIT"):
            if key in engine.environ:
                patch.setenv(key, engine.environ[key])
        patch.setattr(host_run, "RETIRE_AFTER", 0.2)
        yield


def host_of(folder: Path, there_runs: HostEngine) -> Iterator[SshHost]:
    """Give a host whose sessions speak to its own engine."""
    with sshd.hosts(folder, environ=environ_of(there_runs)) as (host,):
        yield host
