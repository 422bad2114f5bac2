"""Whatever breaks at whichever step: the old release serves, the lock is free, and the next command finds no scraps."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.deploy import deploy
from dagster_module_builder.deploy.model import release
from dagster_module_builder.deploy.model.deployment import find
from tests import needs
from tests.deploy.cut_off import (
    OPTIONS,
    STEPS,
    Served,
    assert_as_before,
    at,
    await_free,
    change,
    cut_connection,
    fill,
    host_scripts,
    kill_client,
    kill_host_side_between_files,
    kill_sshd,
    served,
    small_disk,
)
from tests.deploy.modules import by_rsync, set_value
from tests.deploy.sites import Site

__all__ = ["served", "small_disk"]


@pytest.fixture(autouse=True)
def _by_rsync(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have rsync carry the few small files of these modules, too."""
    if "conversation" not in request.node.name:
        by_rsync(monkeypatch)


@pytest.mark.parametrize("step", STEPS)
def test_client_killed(served: Served, step: str) -> None:
    kill_client(served, step)


@pytest.mark.parametrize("step", STEPS[1:])
def test_connection_cut(served: Served, step: str) -> None:
    cut_connection(served, step)


@pytest.mark.parametrize("step", STEPS[1:])
def test_sshd_killed(served: Served, step: str) -> None:
    kill_sshd(served, step)


def test_connection_cut_while_dagster_loads(served: Served) -> None:
    site, release, files = served
    cut = threading.Event()

    def on_request(query: str) -> None:
        if "reloadWorkspace" in query and not cut.is_set():
            cut.set()
            site.host.cut()

    site.dagster.on_request = on_request
    with pytest.raises(BuilderError, match="was lost"):
        deploy(find(site.root, "yoda"), OPTIONS)
    assert cut.is_set()
    await_free(site)
    assert site.running() == release
    assert_as_before(site, release, files)


@pytest.mark.parametrize("step", ["prepare", "verify", "verified", "switch"])
def test_host_side_killed(served: Served, step: str) -> None:
    """As when the host's machine dies: nothing there can undo anything; the next command does."""
    site, release, files = served

    def kill() -> None:
        for pid in host_scripts(site):
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(BuilderError):
        deploy(find(site.root, "yoda"), OPTIONS, at(step, kill))
    assert_as_before(site, release, files)


def test_host_side_killed_between_files(served: Served) -> None:
    kill_host_side_between_files(served)


def test_full_disk_is_refused_before_anything_moves(small_disk: Site) -> None:
    (first,) = small_disk.deploy()
    filler = fill(small_disk, 1 << 20)
    set_value(small_disk.module, 2)
    with pytest.raises(BuilderError, match="MiB free"):
        small_disk.deploy()
    assert small_disk.running() == first.releases["sales-report"]
    filler.unlink()
    fill(small_disk)
    with pytest.raises(BuilderError, match="No space left"):
        small_disk.deploy()
    filler.unlink()
    small_disk.deploy()


def test_full_disk_after_the_switch(small_disk: Site) -> None:
    """The new release stands already."""
    small_disk.deploy()
    set_value(small_disk.module, 2)
    (second,) = deploy(find(small_disk.root, "yoda"), OPTIONS, at("keep", lambda: fill(small_disk)))
    assert small_disk.running() == small_disk.current() == second.releases["sales-report"]
    assert not (small_disk.host.base / "modules/.journal").exists()


@pytest.mark.parametrize("step", ["transfer", "transfer, in the conversation", "verify", "verified", "switch"])
def test_full_disk_later(small_disk: Site, step: str) -> None:
    (first,) = small_disk.deploy()
    before = (small_disk.host.base / "workspace.yaml").read_bytes()
    set_value(small_disk.module, "'" + "x" * 100_000 + "'")
    with pytest.raises(BuilderError, match="No space left"):
        deploy(find(small_disk.root, "yoda"), OPTIONS, at(step, lambda: fill(small_disk)))
    (small_disk.host.base / "filler").unlink()
    await_free(small_disk)
    assert small_disk.running() == small_disk.current() == first.releases["sales-report"]
    assert (small_disk.host.base / "workspace.yaml").read_bytes() == before
    small_disk.deploy()


FAULTS: dict[str, Callable[[Site], object]] = {
    "connection cut": lambda site: site.host.cut(),
    "sshd killed": lambda site: site.host.kill(),
    "full disk": fill,
    "host's side killed": lambda site: [os.kill(pid, signal.SIGKILL) for pid in host_scripts(site)],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_half_of_a_conversations_files(small_disk: Site, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file is a separate request here; the first release of a module breaks off after some of them."""
    site, asked = small_disk, []

    def path_of(line: str) -> str:
        asked.append(line)
        if len(asked) == 4:
            until = time.monotonic() + 20
            while not list(site.there.glob("releases/*.tmp/*")):
                assert time.monotonic() < until, "nothing has arrived"
                time.sleep(0.01)
            FAULTS[fault](site)
        return release.path_of(line)

    for number in range(5):
        (site.module / f"z{number}").write_bytes(os.urandom(50_000))
    monkeypatch.setattr("dagster_module_builder.deploy.strategies.release_folder.PART", 1)
    monkeypatch.setattr("dagster_module_builder.deploy.strategies.release_folder.path_of", path_of)
    with pytest.raises(BuilderError, match=r"see 'deploy\.status'|No space left"):
        site.deploy()
    assert len(asked) >= 4
    (site.host.base / "filler").unlink(missing_ok=True)
    if fault == "sshd killed":
        site.host.start()
    await_free(site)
    assert site.dagster.locations() == {}
    (outcome,) = site.deploy()
    assert site.running() == outcome.releases["sales-report"]
    assert site.releases() == [site.current()]


def test_twenty_deployers_at_once(quick: Site) -> None:
    """All that wait get their turn, one after the other, and the files are whole in the end."""
    made: list[str] = []
    refused: list[str] = []

    def race() -> None:
        try:
            made.append(quick.deploy(wait=120.0, keep=50)[0].releases["sales-report"])
        except BuilderError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=race) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(200)
    assert not refused
    assert len(set(made)) == 20
    assert set(quick.releases()) == set(made)
    assert quick.running() == quick.current()
    assert quick.current() in made
    await_free(quick)


def test_second_deployer_hears_who_holds_it(quick: Site) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        reached.set()
        go_on.wait(30)

    first = threading.Thread(target=lambda: deploy(find(quick.root, "yoda"), OPTIONS, at("verified", hold)))
    first.start()
    assert reached.wait(30)
    try:
        with pytest.raises(BuilderError, match=r"has been deploying here since 20.*--wait"):
            quick.deploy()
    finally:
        go_on.set()
        first.join(60)
    assert quick.running() == quick.current()


def test_file_changed_meanwhile(quick: Site) -> None:
    (first,) = quick.deploy()
    set_value(quick.module, 2)
    path = quick.host.base / "workspace.yaml"
    changed = path.read_bytes() + b"# typed by a person\n"
    with pytest.raises(BuilderError, match="changed during the deployment"):
        deploy(find(quick.root, "yoda"), OPTIONS, at("verified", lambda: path.write_bytes(changed)))
    assert path.read_bytes() == changed
    assert quick.running() == first.releases["sales-report"]
    quick.deploy()
    assert b"# typed by a person" in path.read_bytes()


def test_edited_block_is_not_lost(quick: Site) -> None:
    quick.deploy()
    path = quick.host.base / "workspace.yaml"
    edited = path.read_bytes().replace(b"location_name: sales_report", b"location_name: sales_report # mine")
    path.write_bytes(edited)
    with pytest.raises(BuilderError, match="edited by hand"):
        quick.deploy()
    assert path.read_bytes() == edited
    quick.deploy(force=True)


def test_killed_client_leaves_no_folder_here(served: Served, tmp_path: Path) -> None:
    site, _, _ = served
    # A short path: those of sockets may have a hundred characters.
    folder = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    seen = tmp_path / "seen"

    def die() -> None:
        seen.write_text(" ".join(path.name for path in folder.iterdir()))
        os.kill(os.getpid(), signal.SIGKILL)

    def run() -> None:
        os.setsid()
        tempfile.tempdir = str(folder)
        deploy(find(site.root, "yoda"), OPTIONS, at("verified", die))

    client = multiprocessing.get_context("fork").Process(target=run)
    client.start()
    client.join(60)
    assert "dmb-" in seen.read_text()
    until = time.monotonic() + 20
    while list(folder.iterdir()):
        assert time.monotonic() < until, "the connection's folder is still there"
        time.sleep(0.05)
    folder.rmdir()


def needs_git(site: Site) -> None:
    change(site, strategy="git")
    (site.root / ".gitignore").write_text("deploy/\n")
    for command in ("init -q", "add -A", "-c user.name=x -c user.email=x@y commit -qm x"):
        subprocess.run(["git", *command.split()], cwd=site.root, check=True)


def needs_docker(site: Site) -> None:
    change(site, dagster={"kind": "compose", "url": site.dagster.url})


TOOLS: dict[str, Callable[[Site], None]] = {
    "rsync": lambda _: None, "python3": lambda _: None, "git": needs_git, "docker": needs_docker,
}  # fmt: skip


@pytest.mark.parametrize("tool", TOOLS)
def test_tool_missing_on_the_host(quick: Site, tool: str, tmp_path: Path) -> None:
    TOOLS[tool](quick)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "python3", "git", "env", "tar", *(["rsync"] if tool == "docker" else [])):
        if name != tool:
            (programs / name).symlink_to(needs.program(name))
    quick.host.stop()
    (quick.host.folder / "sshd_config").unlink()
    quick.host.environ["PATH"] = str(programs)
    for name in ("host_key", "host_key.pub", "sshd.log"):
        (quick.host.folder / name).unlink()
    quick.host.start()
    (quick.module / "deploy/yoda/known_hosts").write_text(quick.host.known_hosts_line)
    with pytest.raises(BuilderError, match=f"{tool} is not installed on the host"):
        quick.deploy()


@pytest.mark.parametrize("tool", ["rsync", "git", "ssh"])
def test_tool_missing_here(quick: Site, tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TOOLS.get(tool, lambda _: None)(quick)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in {"sh", "rsync", "git", "ssh"} - {tool}:
        (programs / name).symlink_to(needs.program(name))
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(BuilderError, match=f"{tool} is not installed"):
        quick.deploy()
