"""Deployments that are cut off at a step, and what has to hold behind that."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.deploy import Options, deploy
from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.rollback import roll_back
from dagster_module_builder.deploy.status import status
from tests import needs
from tests.deploy.modules import set_value
from tests.deploy.sites import Site

#: Every step before the new release counts; it does when the host has been told to keep it.
STEPS = ["connect", "prepare", "transfer", "transfer, in the conversation", "verify", "verified", "switch", "keep"]
Served = tuple[Site, str, dict[str, bytes]]
OPTIONS = Options(allow_dirty=True, settle=False)


def at(step: str, work: Callable[[], object]) -> Callable[[str, str], None]:
    """Return a listener to the progress that does something at one step."""

    def listen(_: str, now: str) -> None:
        if now == step.partition(",")[0]:
            work()

    return listen


def assert_as_before(site: Site, release: str, files: dict[str, bytes]) -> None:
    """The old release serves, the lock is free, and the next command leaves no scraps."""
    await_free(site)
    assert {name: (site.host.base / name).read_bytes() for name in files} == files
    assert site.current() == release
    set_value(site.module, 77)
    (outcome,) = site.deploy()
    assert site.running() == outcome.releases["sales-report"]
    assert not [name for name in site.releases() if name.endswith(".tmp")]
    assert not [
        path for path in (site.host.base / "modules").iterdir() if path.name.startswith((".journal", ".temporary"))
    ]
    roll_back(find(site.root, "yoda"), release)
    assert site.running() == release


def await_free(site: Site, limit: float = 60) -> float:
    started = time.monotonic()
    while time.monotonic() - started < limit:
        (found,) = status(find(site.root, "yoda"))
        if "error" not in found and found["lock"] is None and not found["unfinished"]:
            return time.monotonic() - started
        time.sleep(0.2)
    raise AssertionError(f"still locked: {found}")


@pytest.fixture
def served(quick: Site) -> Served:
    """Give a host on which a first release runs, and a second one that is ready to be deployed."""
    (outcome,) = quick.deploy()
    files = {name: (quick.host.base / name).read_bytes() for name in ("workspace.yaml", ".env", "modules/.registry")}
    set_value(quick.module, 2)
    (quick.module / "deploy/yoda/.env.deploy").write_text("SALES_REPORT_TOKEN='second'\n")
    return quick, outcome.releases["sales-report"], files


def kill_client(served: Served, step: str) -> None:
    site, release, files = served

    def run() -> None:
        os.setsid()
        deploy(find(site.root, "yoda"), OPTIONS, at(step, lambda: os.kill(os.getpid(), signal.SIGKILL)))

    client = multiprocessing.get_context("fork").Process(target=run)
    client.start()
    client.join(60)
    assert client.exitcode == -signal.SIGKILL
    assert_as_before(site, release, files)


def cut_connection(served: Served, step: str) -> None:
    site, release, files = served
    with pytest.raises(BuilderError, match=r"see 'deploy\.status'"):
        deploy(find(site.root, "yoda"), OPTIONS, at(step, site.host.cut))
    assert_as_before(site, release, files)


def kill_sshd(served: Served, step: str) -> None:
    """The host puts itself back while it cannot be reached."""
    site, release, files = served
    with pytest.raises(BuilderError, match=r"see 'deploy\.status'"):
        deploy(find(site.root, "yoda"), OPTIONS, at(step, site.host.kill))
    until = time.monotonic() + 30
    while host_scripts(site):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert {name: (site.host.base / name).read_bytes() for name in files} == files
    assert site.running() == site.current() == release
    site.host.start()
    assert_as_before(site, release, files)


def host_scripts(site: Site) -> list[int]:
    """Return the processes of the host's side of a conversation."""
    found = subprocess.run(["pgrep", "-f", "host_side"], capture_output=True, text=True, check=False).stdout.split()
    environ = f"HOME={site.host.folder}".encode()
    return [int(pid) for pid in found if environ in _environ(pid).split(b"\0")]


def _environ(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def kill_host_side_between_files(served: Served) -> None:
    site, release, files = served
    killed = []

    def on_request(query: str) -> None:
        if "reloadWorkspace" in query and not killed:
            killed.extend(host_scripts(site))
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    site.dagster.on_request = on_request
    with pytest.raises(BuilderError):
        deploy(find(site.root, "yoda"), OPTIONS)
    assert killed
    (found,) = status(find(site.root, "yoda"))
    assert found["unfinished"]
    roll_back(find(site.root, "yoda"), release)
    assert site.running() == site.current() == release
    assert (site.host.base / ".env").read_bytes() == files[".env"]


@pytest.fixture
def small_disk(quick: Site) -> Iterator[Site]:
    """Give a host whose base path is on a file system of 80 MiB."""
    needs.root()
    base = quick.host.base
    saved = {path.name: path.read_bytes() for path in base.iterdir() if path.is_file()}
    command = ["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(base)]
    needs.need(subprocess.run(command, check=False, capture_output=True).returncode == 0, "the right to mount a tmpfs")
    try:
        for name, text in saved.items():
            (base / name).write_bytes(text)
        (base / "modules").mkdir()
        yield quick
    finally:
        subprocess.run(["umount", "-l", str(base)], check=True)


def fill(site: Site, spare: int = 0) -> Path:
    """Leave so many bytes free on the host."""
    found = os.statvfs(site.host.base)
    path = site.host.base / "filler"
    with path.open("wb") as file, pytest.MonkeyPatch.context():
        left = found.f_bavail * found.f_frsize - spare
        try:
            while left > 0:
                left -= file.write(b"\0" * min(left, 1 << 20))
        except OSError:
            pass
    return path


def change(site: Site, **settings: object) -> None:
    path = site.module / "deploy/yoda/deployment.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **settings}))
