"""A host's log: a line for each beginning, before anything changes, and one for each end, also of what was cut off."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.deploy import Options, deploy
from dagster_module_builder.deploy.host_side import journal, lock, logbook
from dagster_module_builder.deploy.host_side.host import Host
from dagster_module_builder.deploy.log_entries import OPEN, operations
from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.removal import remove
from dagster_module_builder.deploy.rollback import change_settings, roll_back
from dagster_module_builder.deploy.status import log, unlock
from tests.deploy.cut_off import await_free
from tests.deploy.host_here import host_here
from tests.deploy.modules import set_value
from tests.deploy.program import run
from tests.deploy.sites import Site

OPTIONS = Options(allow_dirty=True, settle=False)


def logged(site: Site) -> list[dict[str, Any]]:
    (found,) = log(find(site.root, "yoda"))
    entries: list[dict[str, Any]] = found["modules"]["sales-report"]
    return entries


def results(site: Site) -> list[tuple[str, str]]:
    return [(one["action"], one["result"]) for one in logged(site)]


def test_each_beginning_is_on_the_disk_before_the_switch_and_each_end_after_it(quick: Site) -> None:
    """FAULTS C13: removed and deployed again, a module goes on in its log."""
    last: list[dict[str, Any]] = []

    def on_request(query: str) -> None:
        if "reloadWorkspace" in query:
            last.append(json.loads(quick.log().splitlines()[-1]))

    quick.dagster.on_request = on_request
    first = quick.deploy()[0].releases["sales-report"]
    set_value(quick.module, 2)
    quick.deploy()
    roll_back(find(quick.root, "yoda"))
    change_settings(find(quick.root, "yoda"))
    remove(find(quick.root, "yoda"))
    assert not quick.there.exists()
    actions = ["deploy", "deploy", "rollback", "env", "remove"]
    assert [(one["event"], one["action"]) for one in last] == [("begun", action) for action in actions]
    assert results(quick) == list(zip(actions, ["good"] * 4 + ["removed"], strict=True))
    quick.deploy()
    found = logged(quick)
    assert (len(found), found[-1]["action"], found[2]["release"]) == (6, "deploy", first)
    for one in found:
        assert one["begun"] <= one["ended"]
        assert one["seconds"] >= 0
        assert one["who"]
    log_file = quick.there.parent / ".logs/sales-report.jsonl"
    assert (log_file.stat().st_mode & 0o777, list(log_file.parent.iterdir())) == (0o600, [log_file])


def test_a_switch_whose_host_side_is_killed_is_ended_by_the_next_command(quick: Site) -> None:
    """FAULTS C13."""
    quick.deploy()
    set_value(quick.module, 2)

    def on_request(query: str) -> None:
        if "reloadWorkspace" in query:
            quick.dagster.on_request = lambda _: None
            os.kill(json.loads((quick.there.parent / ".holder").read_text())["pid"], signal.SIGKILL)

    quick.dagster.on_request = on_request
    with pytest.raises(BuilderError, match="was lost"):
        quick.deploy()
    assert results(quick) == [("deploy", "good"), ("deploy", OPEN)]
    quick.deploy()
    assert results(quick) == [("deploy", "good"), ("deploy", "taken back"), ("deploy", "good")]
    assert "the old release was restored" in logged(quick)[1]["reason"]


@pytest.mark.parametrize("cut", ["connection", "Ctrl-C"])
def test_a_client_that_goes_leaves_an_end_in_the_log(quick: Site, cut: str) -> None:
    """FAULTS C13: no other command has to come."""
    quick.deploy()
    set_value(quick.module, 2)

    def listen(_: str, step: str) -> None:
        if step == "keep" and cut == "connection":
            quick.host.cut()
        if step == "verified" and cut == "Ctrl-C":
            raise KeyboardInterrupt

    with pytest.raises((BuilderError, KeyboardInterrupt)):
        deploy(find(quick.root, "yoda"), OPTIONS, listen)
    await_free(quick)
    assert results(quick) == [("deploy", "good"), ("deploy", "taken back")]
    reason = logged(quick)[1]["reason"]
    assert ("the old release was restored" if cut == "connection" else "nothing was switched") in reason


def test_unlock_is_in_the_log_with_whom_it_ended(quick: Site) -> None:
    """FAULTS C13: what it ended has its own end."""
    reached, go_on = threading.Event(), threading.Event()

    def hold(_: str, step: str) -> None:
        if step == "verified":
            reached.set()
            go_on.wait(60)

    def work() -> None:
        with pytest.raises(BuilderError):
            deploy(find(quick.root, "yoda"), OPTIONS, hold)

    first = threading.Thread(target=work)
    first.start()
    try:
        assert reached.wait(60)
        unlock(find(quick.root, "yoda"))
    finally:
        go_on.set()
        first.join(60)
    await_free(quick)
    assert results(quick) == [("deploy", "taken back"), ("unlock", "good")]
    ended, unlocked = logged(quick)
    assert unlocked["holder"] == ended["who"]


def test_the_reason_is_told_in_full_and_steers_no_terminal(quick: Site) -> None:
    """FAULTS C13: with --json, too; a secret that is known here is in neither."""
    (quick.module / "deploy/yoda/.env.deploy").write_text("SALES_REPORT_TOKEN='tok-4f9a1c77be'\n")
    (path,) = quick.module.glob("src/*/definitions.py")
    path.write_text("raise RuntimeError('begins \\x1b[2J tok-4f9a1c77be ' + 'x' * 5000 + ' ends')\n")
    assert run(quick.root, "deploy", "yoda", "--allow-dirty", "--no-settle").returncode == 1
    said = run(quick.root, "deploy.log", "yoda").stdout
    assert f"{'x' * 5000} ends" in said
    assert "\x1b" not in said
    (found,) = json.loads(text := run(quick.root, "deploy.log", "yoda", "--json").stdout)
    (entry,) = found["modules"]["sales-report"]
    assert (entry["result"], entry["step"]) == ("bad", "prepare")
    assert f"{'x' * 5000} ends" in entry["reason"]
    assert "begins" in entry["reason"]
    assert "tok-4f9a1c77be" not in text + said + quick.log()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = host_here(tmp_path)
    yield made
    if made.lock is not None:
        made.lock.close()


HOLDER = {"who": "leia", "command": "deploy"}
RECORD = {**HOLDER, "action": "deploy"}


def test_the_logs_of_an_earlier_version_are_read_and_brought_along(host: Host) -> None:
    """FAULTS C13: one step, which may be cut off between its two halves."""
    old = {"at": "2025-01-02T00:00:00Z", "who": "han", "action": "deploy", "result": "good", "release": "1"}
    gone = {"at": "2025-01-01T00:00:00Z", "module": "sales", "who": "han", "action": "remove"}
    Path(host.of("sales")).mkdir()
    before = Path(host.of("sales", "log.jsonl"))
    before.write_text(json.dumps(old) + "\n")
    Path(host.modules, "removed.jsonl").write_text(f"{json.dumps(gone)}\n{json.dumps({**gone, 'module': 'stock'})}\n")
    expected = [("remove", "removed"), ("deploy", "good")]
    assert [(one["action"], one["result"]) for one in operations(logbook.entries(host, "sales"))] == expected
    host.begun = logbook.begin(host, ["sales"], RECORD)
    logbook.finish(host, {"result": "good"})
    assert not before.exists()
    before.write_text(json.dumps(old) + "\n")
    found = operations(logbook.entries(host, "sales"))
    assert [(one["action"], one["result"]) for one in found] == [*expected, ("deploy", "good")]
    assert [one["begun"] is None for one in found] == [True, True, False]


def died(host: Host, action: str = "deploy") -> None:
    """Have something begun by a process that has ended since."""
    begun = logbook.begin(host, ["sales"], {**RECORD, "action": action})
    logbook.keep_open(host, {**begun, "pid": 1, "started": "another start"})
    host.begun = {**begun, "pid": 1, "started": "another start"}


def next_command(host: Host) -> dict[str, Any]:
    lock.take_lock(host, HOLDER, 0)
    (found,) = operations(logbook.entries(host, "sales"))
    return found


@pytest.mark.parametrize(("action", "result"), [("deploy", "good"), ("remove", "removed")])
def test_what_was_cut_off_when_it_stood_is_not_said_to_be_taken_back(host: Host, action: str, result: str) -> None:
    """FAULTS C13."""
    died(host, action)
    journal.write_journal(host, [], [])
    journal.forget(host)
    assert next_command(host)["result"] == result


def test_what_was_cut_off_while_it_began_to_stand_is_not_said_to_be_taken_back(host: Host) -> None:
    """FAULTS C13: between the journal's new name and the log's file."""
    died(host)
    journal.write_journal(host, [], [])
    Path(host.journal).rename(f"{host.journal}.done")
    assert next_command(host)["result"] == "good"


def test_what_was_cut_off_before_the_switch_changed_nothing(host: Host) -> None:
    """FAULTS C13: once; the line that the crash left half written spoils no other."""
    died(host)
    path = Path(logbook.log_of(host, "sales"))
    path.write_bytes(path.read_bytes() + b'{"at": "20')
    assert next_command(host)["result"] == "taken back"
    assert len(path.read_text().splitlines()) == 3
    assert list(path.parent.iterdir()) == [path]


def test_what_another_process_still_does_is_left_open(host: Host) -> None:
    """FAULTS C13: an unlock goes on while the next deployment takes the lock."""
    logbook.begin(host, ["sales"], {**RECORD, "action": "unlock"})
    assert next_command(host)["result"] == OPEN


def test_an_unlock_that_ends_while_the_next_command_looks_stops_nothing(host: Host) -> None:
    """Its file is listed, and gone when it is read."""
    died(host)
    Path(logbook.folder_of(host), ".gone.json").symlink_to("nowhere")
    assert next_command(host)["result"] == "taken back"


def test_a_lock_whose_holder_has_said_nothing_yet_is_held(host: Host) -> None:
    with lock.open_lock(host) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert lock.lock_holder(host) == {"who": "unknown"}
