"""How a conversation ends when something else fails than what a host foresees: what is half done is undone, once."""

from __future__ import annotations

import ctypes
import errno
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dagster_module_builder.deploy.connection import conversation
from dagster_module_builder.deploy.host_side import conversation as host_conversation
from dagster_module_builder.deploy.host_side import dumps, journal, keep_or_undo, lock, logbook
from dagster_module_builder.deploy.host_side.files import digest, write
from dagster_module_builder.deploy.host_side.host import Host
from tests.deploy.host_here import host_here
from tests.deploy.host_process import start
from tests.deploy.near_host import Near, near

__all__ = ["near"]

HOLDER = {"who": "leia", "command": "deploy"}
RECORD = {**HOLDER, "action": "deploy"}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = host_here(tmp_path)
    yield made
    if made.lock is not None:
        made.lock.close()


def in_time(work: Callable[[], object]) -> None:
    """Do something that must not wait for ever."""
    doing = threading.Thread(target=work, daemon=True)
    doing.start()
    doing.join(20)
    assert not doing.is_alive(), "it waits for ever"


@pytest.mark.parametrize(
    "request_line",
    [
        {"do": "no such thing"},
        {"what": "open"},
        {"do": ["open"]},
        {"do": "layout", "base": 7},
        {"do": "layout"},
        {"do": "log", "module": None},
        {"do": "run", "command": ["true"], "given": 7},
        {"do": "write", "path": "x", "text": "AA==", "mode": "none"},
    ],
)
def test_a_request_that_fails_unforeseen_is_answered_and_the_conversation_goes_on(
    host: Host, request_line: dict[str, Any]
) -> None:
    """A fault of either side is a failure like others: the client says what comes next."""
    answer = host_conversation.respond(host, dict(request_line))
    assert (answer["ok"], answer["code"], answer["details"]) == (False, "host", {})
    assert "should not have happened on the host" in answer["message"]


def asked(near: Near, *requests: dict[str, Any]) -> None:
    """Serve a client that asks for these things, and goes."""
    for request in (*requests, None):
        near.client.inbox.put(request)
    assert near.host.lock
    with near.host.lock:
        host_conversation.serve(near.host)


def switched(near: Near) -> tuple[Path, bytes]:
    """Have a file switched, as a deployment has that is not ended yet."""
    path = near.base / "workspace.yaml"
    before = path.read_bytes()
    lock.take_lock(near.host, HOLDER, 0)
    near.host.begun = logbook.begin(near.host, ["sales-report"], RECORD)
    old = {"path": str(path), "before": digest(before), "text": b"load_from: []\n", "old": before, "mode": 0o644}
    journal.write_journal(near.host, [old], [])
    write(str(path), b"load_from: []\n")
    return path, before


def last(near: Near) -> dict[str, Any]:
    """Return the last line of the module's log."""
    found: dict[str, Any] = json.loads(Path(logbook.log_of(near.host, "sales-report")).read_text().splitlines()[-1])
    return found


def test_a_switch_is_undone_though_a_request_behind_it_fails_unforeseen(near: Near) -> None:
    """A conversation that ends with an unforeseen error leaves the old release, as every other end does."""
    path, before = switched(near)
    asked(near, {"do": "no such thing"})
    assert path.read_bytes() == before
    assert not journal.is_pending(near.host)
    assert last(near)["result"] == "taken back"
    assert '"code": "host"' in near.client.said()


def test_an_answer_that_cannot_be_written_as_json_undoes_too(near: Near, monkeypatch: pytest.MonkeyPatch) -> None:
    path, before = switched(near)
    monkeypatch.setattr(host_conversation, "work_of", lambda _: lambda _: {"bytes": b"no JSON"})
    with pytest.raises(TypeError):
        asked(near, {"do": "odd"})
    assert path.read_bytes() == before


@pytest.mark.parametrize("failing", ["undo", "reload_quietly"])
def test_a_step_of_undoing_that_fails_keeps_the_others_from_nothing(
    near: Near, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """Where a file cannot be put back the log stays open, and the next command, which puts it back, ends it."""
    path, before = switched(near)

    def fails(*_: object) -> None:
        raise ValueError(failing)

    with monkeypatch.context() as patched:
        patched.setattr(host_conversation, failing, fails)
        asked(near)
    if failing == "undo":
        assert last(near)["event"] == "begun"
        ended_by_now(near)
    near.host.lock = None
    lock.take_lock(near.host, HOLDER, 0)
    near.host.lock.close()
    assert path.read_bytes() == before
    assert last(near)["result"] == "taken back"


def ended_by_now(near: Near) -> None:
    """Have the process of that conversation, which is this one, be another by now."""
    (path,) = Path(logbook.folder_of(near.host)).glob(".*.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "started": "another start"}))


def test_what_another_user_left_is_named_and_stops_no_deployment(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two people deploy to one host: the half release of one cannot be removed by the other."""
    folder = Path(host.of("sales", "releases", "20260101T000000Z-half.tmp"))
    folder.mkdir(parents=True)
    (folder / "file").touch()
    Path(host.modules, ".journal.sales.gone").mkdir()
    removed: list[str] = []

    def theirs(path: str) -> None:
        if path == str(folder):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        removed.append(path)

    monkeypatch.setattr(lock, "remove_tree", theirs)
    assert lock.take_lock(host, HOLDER, 0) == [
        f"An earlier deployment left {folder}, which cannot be removed: Permission denied."
    ]
    assert removed == [f"{host.modules}/.journal.sales.gone"]
    monkeypatch.setattr(keep_or_undo, "remove_tree", theirs)
    (problem,) = keep_or_undo.go_back(host, ["sales"], RECORD)["problems"]
    assert str(folder) in problem


def test_a_signal_that_comes_while_another_is_dealt_with_ends_the_conversation(near: Near) -> None:
    """Python carries out the second one's function in the middle of the first one's (signal)."""
    client, real = near.client, near.client.gone.set

    def interrupted() -> None:
        with client.gone._cond:
            client.leave()
        real()

    client.gone.set = interrupted  # type: ignore[method-assign]
    in_time(client.leave)
    assert client.gone.is_set()


def test_a_signal_that_reaches_another_thread_ends_a_conversation() -> None:
    """The kernel gives a signal to any thread, and the one that deals with it sleeps (tgkill(2))."""
    with start() as process:
        assert process.stdout
        process.stdout.readline()
        assert b'"hello"' in process.stdout.readline()
        others = {int(thread.name) for thread in Path(f"/proc/{process.pid}/task").iterdir()} - {process.pid}
        assert ctypes.CDLL(None, use_errno=True).tgkill(process.pid, min(others), signal.SIGTERM) == 0
        assert process.wait(20) == 0


def test_many_signals_end_a_conversation() -> None:
    with start() as process:
        assert process.stdout
        process.stdout.readline()
        assert b'"hello"' in process.stdout.readline()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT) * 20:
            process.send_signal(number)
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    "line",
    [b"7\n", b'{"do": "port"\n', b"[" * 100_000 + b"\n", b'{"attached": "x"}\n', b"\xff\n"],
    ids=["a number", "cut off", "depth", "an odd size", "no text"],
)
def test_a_request_that_is_none_ends_the_conversation(line: bytes) -> None:
    with start() as process:
        assert process.stdout
        assert process.stdin
        process.stdout.readline()
        assert b'"hello"' in process.stdout.readline()
        process.stdin.write(line)
        process.stdin.flush()
        assert process.wait(20) == 0


def test_a_line_that_is_written_while_an_old_log_is_brought_along_stays(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """'deploy.unlock' waits for no lock: it writes, and brings along, while the one that it ends does."""
    Path(host.of("sales")).mkdir()
    before = Path(host.of("sales", "log.jsonl"))
    old = {"at": "2025-01-02T00:00:00Z", "who": "han", "action": "deploy", "result": "good"}
    before.write_text(json.dumps(old) + "\n")
    begun = logbook.begin(host, [], RECORD)
    real = logbook.read

    def meanwhile(path: str) -> bytes | None:
        found = real(path)
        monkeypatch.setattr(logbook, "read", real)
        logbook.add(host, ["sales"], {"event": "begun", "id": "of the other"})
        logbook.bring_along(host, "sales")
        return found

    monkeypatch.setattr(logbook, "read", meanwhile)
    logbook.bring_along(host, "sales")
    found = logbook.entries(host, "sales")
    assert [one.get("id", one.get("who")) for one in found] == ["han", "of the other"]
    assert begun["modules"] == []


def test_a_dump_ends_before_its_client_stops_waiting(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """All of its parts share one time, which is shorter than the client's."""
    assert dumps.DUMPING < conversation.ANSWERED_WITHIN
    limits: list[float] = []

    def run(_command: object, _given: object = None, limit: float | None = None, **_: object) -> tuple[int, str]:
        limits.append(limit or 0)
        return 0, ""

    monkeypatch.setattr(host.client, "run", run)
    path = tmp_path / "storage.tar.gz"
    path.touch()
    dumps.dump_files(host, str(path), str(tmp_path), "sales", None, time.monotonic() + 100)
    assert len(limits) == 2
    assert all(0 < limit <= 100 for limit in limits)
