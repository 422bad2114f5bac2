"""What a connection holds is given back, however it ends, and however often it is told to."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import BuilderError, RefusedError, ToolError
from dagster_module_builder.deploy.connection.address import Address
from dagster_module_builder.deploy.connection.channels import OpenSshChannel
from dagster_module_builder.deploy.connection.conversation import Conversation
from dagster_module_builder.deploy.connection.remote import Remote
from dagster_module_builder.deploy.model.deployment import read_deployment
from tests.deploy import sshd
from tests.deploy.modules import make_deployment, make_module
from tests.deploy.sshd import SshHost, user

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def descriptors() -> set[str]:
    """Return what this process has open; what is no longer held is not counted."""
    gc.collect()
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(f"{path.name} {path.readlink()}")
    return found


def all_at_once(work: Callable[[], object], count: int = 8) -> list[BaseException]:
    """Do the same thing in several threads at once; return what they raised."""
    raised: list[BaseException] = []
    ready = threading.Barrier(count)

    def doing() -> None:
        ready.wait(20)
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - returned
            raised.append(error)

    threads = [threading.Thread(target=doing) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return raised


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHost]:
    with sshd.hosts(tmp_path_factory.mktemp("hosts")) as (made,):
        yield made


@pytest.fixture
def address(host: SshHost, tmp_path: Path) -> Address:
    known = tmp_path / "known_hosts"
    known.write_text(host.known_hosts_line)
    return Address(host.address, known, host.port, user(), str(host.client_key), "/dev/null")


def test_a_channel_whose_program_cannot_be_started_leaves_nothing_open() -> None:
    before = descriptors()
    with pytest.raises(ToolError) as refused:
        OpenSshChannel(["/nowhere/ssh"])
    assert refused.value.__traceback__
    # Held by the frames of the error, which a report of it keeps.
    assert descriptors() == before


def test_a_channel_may_be_closed_by_several_and_again() -> None:
    before = descriptors()
    channel = OpenSshChannel(SLEEP)
    assert all_at_once(channel.close) == []
    channel.close()
    assert channel.recv_stderr(1) == b""
    assert descriptors() == before


def test_a_process_of_another_is_not_ended_by_a_channel_that_is_closed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of a process that was waited for may be another's by then."""
    channel = OpenSshChannel(["/bin/true"])
    channel.close()
    ended: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda number, _: ended.append(number))
    channel.close()
    assert ended == []


def test_a_remote_may_be_closed_by_several_and_again(address: Address) -> None:
    before = descriptors()
    for _ in range(3):
        remote = Remote(address)
        remote.connection()
        remote.prepare_bulk()
        assert all_at_once(remote.close) == []
        remote.close()
    assert {one.split()[1].split(":")[0] for one in descriptors() - before} <= {"/dev/urandom"}


@pytest.mark.parametrize(
    "line",
    ["{name} ssh-rsa AAAA!!!bad", "{name} ssh-rsa AAAAB3Nza", b"\xff\xfe x y"],
)
def test_a_damaged_line_of_known_hosts_is_named_and_leaves_no_wire(address: Address, line: str | bytes) -> None:
    """Paramiko raises errors that are not its own for these."""
    with address.known_hosts.open("ab") as file:
        file.write(line if isinstance(line, bytes) else line.format(name=address.pinned_as).encode())
        file.write(b"\n")
    before = descriptors()
    with pytest.raises(RefusedError, match=r"has a line that is not a key. Delete it"), Conversation(Remote(address)):
        pass
    assert descriptors() == before


@pytest.mark.parametrize("written", ["~no-such-user/x", "~", "~/x", "/x", "x"])
def test_a_path_below_a_home_folder_that_the_machine_does_not_know_stays_as_it_is_written(
    monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    expected = {"~": "/home/ada", "~/x": "/home/ada/x"}.get(written, written)
    assert settings.expanded(written) == Path(expected)


@pytest.mark.parametrize("place", ["identity_file", "config"])
def test_an_unknown_home_folder_in_a_deployment_is_no_traceback(host: SshHost, tmp_path: Path, place: str) -> None:
    folder = make_deployment(
        make_module(tmp_path), [host], ["http://127.0.0.1:9"], "python3", ssh={place: "~no-such-user/x"}
    )
    with pytest.raises(BuilderError, match="no-such-user"):
        Conversation(Remote(read_deployment(folder).hosts[0].address)).open()


def test_every_way_to_expand_a_home_folder_is_the_one_door() -> None:
    folders = ("dagster_module_builder", "deploy_strategies")
    said = subprocess.run(
        ["git", "grep", "-nE", r"\.expanduser\(|Path\.home\(", "--", *(f"{one}/*.py" for one in folders)],
        capture_output=True, text=True, check=False, cwd=Path(settings.__file__).parents[2],
    ).stdout  # fmt: skip
    lines = [line for line in said.splitlines() if "/host_side/" not in line]
    assert sorted({line.split(":")[0] for line in lines}) == ["dagster_module_builder/base/settings.py"]
