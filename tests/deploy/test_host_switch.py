"""Each promise of the switch on a host, and of taking it back, by itself: no connection, one folder, real files."""

from __future__ import annotations

import base64
import errno
import json
import os
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dagster_module_builder.deploy.host_side import journal, logbook, switching
from dagster_module_builder.deploy.host_side.client import UNDOING
from dagster_module_builder.deploy.host_side.errors import GoneError, RefusedError
from dagster_module_builder.deploy.host_side.files import digest
from tests import needs
from tests.deploy import spread
from tests.deploy.host_driver import MODULE, NEW, OLD, SNAKE, env, workspace
from tests.deploy.near_host import Near, in_order, near

__all__ = ["near"]

HALF = ".deploy.tmp"
COPY = ".deploy.old"


def run_of(location: str) -> dict[str, Any]:
    origin = {"repositoryLocationName": location, "repositoryLocationMetadata": []}
    return {"runId": "1", "status": "STARTED", "tags": [], "repositoryOrigin": origin}


def counting(near: Near, word: str, then: Callable[[int], None] = lambda _: None) -> list[int]:
    """Count the requests that have a word, and do something at each."""
    numbers: list[int] = []

    def on_request(query: str) -> None:
        if word in query:
            numbers.append(len(numbers) + 1)
            then(numbers[-1])

    near.dagster.on_request = on_request
    return numbers


def test_runs_of_these_locations_are_waited_for(near: Near) -> None:
    near.dagster.runs = [run_of("stock")]
    assert switching.await_runs(near.host, [SNAKE], 60) == {"waited": True}
    near.dagster.runs = [run_of("stock"), run_of(SNAKE)]
    with pytest.raises(RefusedError, match="1 runs are still in progress"):
        switching.await_runs(near.host, [SNAKE], -1)
    asked = counting(near, "runsOrError", lambda number: near.dagster.runs.clear() if number == 2 else None)
    begun = time.monotonic()
    assert switching.await_runs(near.host, [SNAKE], 60) == {"waited": True}
    assert time.monotonic() - begun > 1.5, "Dagster is asked without a pause"
    assert asked == [1, 2]
    assert "waiting for 1 runs" in near.client.said()


def test_waiting_for_runs_ends_with_the_client(near: Near) -> None:
    near.dagster.runs = [run_of(SNAKE)]
    near.client.gone.set()
    with pytest.raises(GoneError):
        switching.await_runs(near.host, [SNAKE], 1)


def shared(near: Near, name: str, text: bytes | None, before: bytes | None = None) -> dict[str, Any]:
    path = near.base / name
    found = digest(path.read_bytes()) if before is None and path.exists() else digest(before)
    return {"path": name, "before": found, "text": text and base64.b64encode(text).decode(), "mode": 0o640}


def switch(near: Near, *more: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Switch to the release that is ready, and to other files beside it."""
    ready = near.there / "ready"
    if ready.exists():
        ready.rename(near.there / "releases" / f"{NEW}.tmp")
        near.steps.clear()
    files = [shared(near, "workspace.yaml", workspace(near.base, NEW)), shared(near, ".env", env(NEW)), *more]
    module = {"module": MODULE, "release": NEW, "new": True, "env": base64.b64encode(env(NEW)).decode()}
    expect = {SNAKE: str(near.there / "releases" / NEW / "src")}
    return switching.switch(near.host, files, [module], expect, **{"limit": 20, **options})


def contents(near: Near) -> dict[str, bytes | str]:
    """Return everything below the base, for comparisons."""
    return {
        str(path.relative_to(near.base)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in near.base.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def test_the_registry_becomes_private_and_the_mode_of_other_files_stays(near: Near) -> None:
    """FAULTS S12: the registry of an earlier version could be read, and its digests of passwords guessed by, all."""
    for name in ("registry", "shared"):
        (near.base / name).write_text("old")
        (near.base / name).chmod(0o644)
    switch(near, {**shared(near, "registry", b"new"), "private": True}, shared(near, "shared", b"new"))
    modes = [stat.S_IMODE((near.base / name).stat().st_mode) for name in ("registry", "shared")]
    assert modes == [0o600, 0o644]


OURS = f"modules/{MODULE}"


def test_a_switch_puts_everything_in_place_in_an_order_that_can_be_taken_back(near: Near) -> None:
    """FAULTS B11: the journal, the old bytes, the release, the settings, the workspace, the links."""
    (near.base / "gone.yaml").write_text("old")
    (near.base / "same.yaml").write_text("same")
    number = (near.base / "same.yaml").stat().st_ino
    more = [shared(near, "new.yaml", b"new"), shared(near, "gone.yaml", None), shared(near, "same.yaml", b"same")]
    answer = switch(near, *more)
    assert answer["daemons"] is True
    assert 0 <= answer["seconds"] < 30
    in_order(
        near.steps,
        f"fsync modules/.journal.tmp/journal.json{HALF} {(near.base / 'modules/.journal/journal.json').stat().st_size}",
        "fsync modules/.journal.tmp",
        "rename modules/.journal.tmp modules/.journal",
        "fsync modules",
        f"rename .env{COPY}{HALF} .env{COPY}",
        "fsync .",
        f"rename workspace.yaml{COPY}{HALF} workspace.yaml{COPY}",
        "fsync .",
        f"rename {OURS}/releases/{NEW}.tmp {OURS}/releases/{NEW}",
        f"fsync {OURS}/releases",
        f"rename .env{HALF} .env",
        "fsync .",
        "unlink gone.yaml",
        "fsync .",
        f"rename {OURS}/state.json{HALF} {OURS}/state.json",
        f"rename workspace.yaml{HALF} workspace.yaml",
        "fsync .",
        f"rename {OURS}/current{HALF} {OURS}/current",
        f"rename {OURS}/previous{HALF} {OURS}/previous",
        f"fsync {OURS}",
    )
    modes = {name: (near.base / name).stat().st_mode & 0o777 for name in ("new.yaml", ".env", f"workspace.yaml{COPY}")}
    assert modes == {"new.yaml": 0o640, ".env": 0o600, f"workspace.yaml{COPY}": 0o600}
    assert (near.base / "modules/.journal").stat().st_mode & 0o777 == 0o700
    assert (near.there / f"env/{NEW}.env").stat().st_mode & 0o777 == 0o600
    assert (near.there / f"env/{NEW}.env").read_bytes() == env(NEW)
    assert (near.there / "current").readlink() == Path(f"releases/{NEW}")
    assert (near.there / "previous").readlink() == Path(f"releases/{OLD}")
    assert (near.base / "same.yaml").stat().st_ino == number
    copies = {path.name for path in near.base.rglob(f"*{COPY}")}
    assert copies == {f"{name}{COPY}" for name in ("workspace.yaml", ".env", "gone.yaml", "state.json")}


def test_what_was_switched_is_taken_back_in_the_reverse_order(near: Near) -> None:
    """FAULTS B11: nothing is left of it but the release, under a name that says what it is."""
    (near.base / "gone.yaml").write_text("old")
    (near.base / "gone.yaml").chmod(0o604)
    before = contents(near)
    switch(near, shared(near, "new.yaml", b"new"), shared(near, "gone.yaml", None))
    near.steps.clear()
    assert journal.undo(near.host) == []
    in_order(
        near.steps,
        f"rename workspace.yaml{COPY} workspace.yaml",
        "fsync .",
        f"rename {OURS}/state.json{COPY} {OURS}/state.json",
        f"fsync {OURS}",
        f"rename gone.yaml{COPY} gone.yaml",
        "unlink new.yaml",
        "fsync .",
        f"rename .env{COPY} .env",
        "fsync .",
        f"rename {OURS}/current{HALF} {OURS}/current",
        f"unlink {OURS}/previous",
        f"fsync {OURS}",
        f"rename {OURS}/releases/{NEW} {OURS}/releases/{NEW}.bad",
        f"fsync {OURS}/releases",
        "rename modules/.journal modules/.journal.done",
        "fsync modules",
    )
    after = {name.replace("ready", f"releases/{NEW}.bad"): text for name, text in before.items()}
    assert contents(near) == after
    assert (near.base / "gone.yaml").stat().st_mode & 0o777 == 0o604


def test_taking_back_keeps_the_owner_and_goes_on_where_things_are_missing(near: Near) -> None:
    """FAULTS B11: a crash may have come before the release had its name; a folder may be gone."""
    needs.root()
    switch(near)
    os.chown(near.base / "workspace.yaml", 1234, 4321)
    (near.there / "releases" / NEW).rename(near.base / "elsewhere")
    assert journal.undo(near.host) == []
    assert (near.base / "workspace.yaml").stat().st_uid == 1234
    assert not list((near.there / "releases").glob("*.bad"))
    assert not journal.is_pending(near.host)


def test_what_is_taken_back_is_logged_while_the_journal_is_there(near: Near) -> None:
    """FAULTS C13: whoever is cut off before that has it taken back, and logged, by the next command."""
    switch(near)
    seen: list[bool] = []
    assert journal.undo(near.host, lambda: seen.append(journal.is_pending(near.host))) == []
    assert seen == [True]
    assert not journal.is_pending(near.host)


def test_links_of_a_module_that_is_gone_are_not_made_again(near: Near) -> None:
    switch(near)
    near.there.rename(near.base / "elsewhere")
    (said,) = journal.undo(near.host)
    assert f"{OURS}/state.json was edited" in said
    assert not near.there.exists()


def test_a_file_that_changed_since_is_left_and_named(near: Near) -> None:
    switch(near)
    (near.base / ".env").write_text("MINE=1\n")
    (said,) = journal.undo(near.host)
    assert said == f"{near.base}/.env was edited in the meantime, and is left as it is."
    assert (near.base / ".env").read_text() == "MINE=1\n"
    assert (near.base / "workspace.yaml").read_bytes() == workspace(near.base, OLD)
    assert not (near.base / f".env{COPY}").exists()


def test_a_file_that_cannot_be_put_back_keeps_the_journal(near: Near, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS B11: all others are put back meanwhile."""
    switch(near)
    inner = os.rename

    def rename(old: str, new: str) -> None:
        if new.endswith("/.env"):
            raise OSError(errno.EIO, "no")
        inner(old, new)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(RefusedError, match="Not all files could be restored"):
        journal.undo(near.host)
    assert journal.is_pending(near.host)
    assert (near.base / "workspace.yaml").read_bytes() == workspace(near.base, OLD)
    monkeypatch.setattr(os, "rename", inner)
    assert journal.undo(near.host) == []
    assert (near.base / ".env").read_bytes() == env(OLD)


def test_services_start_once_the_journal_names_those_that_run_already(
    near: Near, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAULTS B11."""
    services = {"folder": "x", "names": ["db"], "gone": []}
    seen: list[object] = []
    monkeypatch.setattr(switching, "with_old", lambda _, given: {**given, "old": ["db"]})
    monkeypatch.setattr(switching, "start", lambda host, given: seen.append((given, journal.intent(host)["services"])))
    switch(near, services=services)
    assert seen == [(services, {**services, "old": ["db"]})]


def test_a_file_that_changed_before_the_switch_is_refused(near: Near) -> None:
    before = contents(near)
    with pytest.raises(RefusedError, match=r"/\.env on the host was changed during the deployment"):
        switching.switch(near.host, [shared(near, ".env", b"NEW=1", b"other")], [], {})
    assert contents(near) == before


def test_a_file_that_is_mounted_singly_is_refused(near: Near) -> None:
    """FAULTS B1."""
    needs.root()
    beside = near.base / "beside"
    beside.write_bytes(env(OLD))
    spread.mount("--bind", beside, near.base / ".env")
    try:
        with pytest.raises(RefusedError, match=r"/\.env is mounted as a single file"):
            switching.switch(near.host, [shared(near, ".env", b"NEW=1")], [], {})
    finally:
        subprocess.run(["umount", str(near.base / ".env")], check=True)
    assert not journal.is_pending(near.host)
    assert not list(near.base.glob(f"*{COPY}"))


@pytest.mark.parametrize("alive", [True, False])
def test_a_daemon_that_was_not_alive_before_need_not_be_after(near: Near, alive: bool) -> None:
    """FAULTS B11."""
    near.dagster.alive = False

    def reload() -> None:
        near.dagster.alive = alive

    counting(near, "reloadWorkspace", lambda _: reload())
    assert switch(near)["daemons"] is alive


def test_a_daemon_that_dies_while_locations_load_is_noticed(near: Near) -> None:
    """FAULTS B11: it is looked at last."""
    counting(near, "workspaceOrError", lambda _: setattr(near.dagster, "alive", False))
    with pytest.raises(RefusedError, match="daemon stopped at the switch"):
        switch(near)


def test_locations_may_load_slowly_but_not_for_ever(near: Near, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: (pauses.append(seconds), sleep(seconds)))
    original, near.dagster.reload = near.dagster.reload, lambda: None
    asked = counting(near, "workspaceOrError", lambda number: original() if number == 3 else None)
    switch(near)
    assert asked == [1, 2, 3]
    assert pauses.count(0.3) == 2
    asked = counting(near, "workspaceOrError")
    begun = time.monotonic()
    with pytest.raises(RefusedError, match=f"{SNAKE}: still in Dagster"):
        switching.await_locations(near.host, {}, [SNAKE, "stock"], begun + 0.5)
    assert 0.5 <= time.monotonic() - begun < 20
    assert pauses.count(0.3) == 2 + len(asked) - 1


def test_a_location_that_cannot_be_loaded_is_not_waited_for(near: Near) -> None:
    (near.there / f"ready/src/{SNAKE}_dagster/dagster_fails").touch()
    asked = counting(near, "workspaceOrError")
    with pytest.raises(RefusedError, match=r"Dagster did not load it: .*Dagster cannot load this one"):
        switch(near)
    assert asked == [1]


def test_nothing_goes_on_without_the_client(near: Near) -> None:
    """FAULTS B11: neither the files that are next, nor the questions."""
    asked = counting(near, "workspaceOrError")
    near.client.gone.set()
    with pytest.raises(GoneError):
        switching.await_locations(near.host, {"stock": ""}, [], time.monotonic())
    assert asked == []
    with pytest.raises(GoneError):
        switch(near)
    assert (near.base / "workspace.yaml").read_bytes() == workspace(near.base, OLD)
    assert (near.base / ".env").read_bytes() == env(OLD)


@pytest.mark.parametrize(
    ("state", "release", "previous"),
    [({}, NEW, None), ({"current": OLD}, NEW, OLD), ({"current": NEW, "previous": OLD, "own": 1}, NEW, OLD)],
)
def test_a_release_that_is_switched_to_again_keeps_the_one_before(
    near: Near, state: dict[str, Any], release: str, previous: str | None
) -> None:
    (near.there / "state.json").write_text(json.dumps(state))
    (near.there / "previous").symlink_to("releases/x")
    module = {"module": MODULE, "release": release, "state": {"more": 2}}
    (change,) = switching.module_changes(near.host, module)
    noted = json.loads(change["text"])
    assert (noted["current"], noted["previous"], noted["more"]) == (release, previous, 2)
    assert noted.get("own") == state.get("own")
    switching.put_in_place(near.host, [change], [module])
    assert (near.there / "previous").is_symlink() is (previous is not None)


def test_what_an_earlier_switch_left_is_not_mixed_with_the_next(near: Near) -> None:
    for name in (".journal", ".journal.tmp", ".journal.done"):
        (near.base / "modules" / name).mkdir()
        (near.base / "modules" / name / "0.old").touch()
    switch(near)
    assert [path.name for path in (near.base / "modules/.journal").iterdir()] == ["journal.json"]
    journal.forget(near.host)
    assert [path.name for path in (near.base / "modules").iterdir()] == [MODULE]


@pytest.mark.parametrize(
    ("found", "stood"),
    [
        ((), False),
        ((".journal.tmp/0.old",), False),
        ((".journal.done/0.old",), True),
        ((".journal/0.old",), True),
        ((".journal/journal.json",), False),
        ((".journal/journal.json", ".journal.done/0.old"), True),
    ],
)
def test_a_change_stood_whose_journal_is_done_or_has_lost_its_first_file(
    near: Near, found: tuple[str, ...], stood: bool
) -> None:
    for name in found:
        path = near.base / "modules" / name
        path.parent.mkdir()
        path.touch()
    assert journal.has_stood(near.host) is stood


def test_nothing_is_forgotten_where_nothing_is_pending(near: Near) -> None:
    journal.forget(near.host)
    assert near.steps == []
    assert journal.intent(near.host) == {}


@pytest.mark.parametrize("stands", [True, False])
def test_the_log_learns_that_a_change_stands_only_where_it_does(near: Near, stands: bool) -> None:
    """FAULTS C13: whoever ends what was cut off after that says so."""
    near.host.begun = logbook.begin(near.host, [MODULE], {"action": "deploy"})
    switch(near)
    if stands:
        journal.forget(near.host)
    else:
        journal.undo(near.host)
    assert near.host.begun["stands"] is stands


def test_all_that_lies_beside_the_files_goes_with_the_journal(near: Near) -> None:
    """FAULTS B11: whatever the crash cut off."""
    before = {path.name for path in near.base.rglob("*")}
    switch(near)
    leftovers = [near.base / f"workspace.yaml{more}" for more in (HALF, COPY, f"{COPY}{HALF}")]
    leftovers += [near.there / f"{name}{HALF}" for name in ("current", "previous", "state.json")]
    for path in leftovers:
        path.touch()
    journal.forget(near.host)
    assert {path.name for path in near.base.rglob("*")} - before == {NEW, f"{NEW}.env", "previous"}


def journal_that_cannot_move(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    inner = os.rename

    def rename(old: str, new: str) -> None:
        if old.endswith(".journal"):
            raise OSError(code, "no")
        inner(old, new)

    monkeypatch.setattr(os, "rename", rename)


def test_a_journal_of_a_lower_layer_is_forgotten_file_first(near: Near, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS B11: while a copy is missing, nothing may be undone; the folder cannot be synced for certain."""
    switch(near)
    journal_that_cannot_move(monkeypatch, errno.EXDEV)
    synced = os.fsync

    def fsync(handle: int) -> None:
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(os, "fsync", fsync)
    near.steps.clear()
    journal.forget(near.host)
    monkeypatch.setattr(os, "fsync", synced)
    in_order(near.steps, "unlink modules/.journal/journal.json", f"unlink workspace.yaml{COPY}")
    assert not (near.base / "modules/.journal").exists()
    assert not list(near.base.rglob(f"*{COPY}"))


def test_a_journal_that_cannot_be_forgotten_stays(near: Near, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS B11: what is said to stand must not go back after a crash, and the reverse."""
    switch(near)
    with monkeypatch.context() as patch:
        journal_that_cannot_move(patch, errno.EIO)
        with pytest.raises(OSError, match="no"):
            journal.forget(near.host)
    assert journal.is_pending(near.host)

    def fsync(handle: int) -> None:
        raise OSError(errno.EIO, "not synced")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match="not synced"):
            journal.forget(near.host)
    assert journal.is_pending(near.host)
    assert journal.undo(near.host) == []
    assert (near.base / "workspace.yaml").read_bytes() == workspace(near.base, OLD)


def earlier_journal(near: Near) -> Path:
    """Make the journal of an earlier version, which has the old bytes in its own folder."""
    path, folder = near.base / "workspace.yaml", near.base / "modules/.journal"
    folder.mkdir()
    (folder / "0.old").write_bytes(workspace(near.base, NEW))
    digests = {"before": digest(workspace(near.base, NEW)), "after": digest(path.read_bytes())}
    file = {"path": str(path), "mode": 0o640, "held": "0.old", **digests}
    noted = {"files": [file], "links": [], "made": [], "services": None}
    (folder / "journal.json").write_text(json.dumps(noted))
    return folder


def test_the_bytes_of_an_earlier_versions_journal_are_put_back(near: Near) -> None:
    """FAULTS B11: those that are missing do not empty the file."""
    folder = earlier_journal(near)
    (folder / "0.old").rename(near.base / "moved")
    with pytest.raises(RefusedError, match="Not all files could be restored"):
        journal.undo(near.host)
    assert (near.base / "workspace.yaml").read_bytes() == workspace(near.base, OLD)
    (near.base / "moved").rename(folder / "0.old")
    near.steps.clear()
    assert journal.undo(near.host) == []
    in_order(
        near.steps,
        f"rename workspace.yaml{COPY}{HALF} workspace.yaml{COPY}",
        f"rename workspace.yaml{COPY} workspace.yaml",
    )
    assert (near.base / "workspace.yaml").read_bytes() == workspace(near.base, NEW)
    assert (near.base / "workspace.yaml").stat().st_mode & 0o777 == 0o640


def test_dagster_is_told_of_what_was_put_back_within_the_time_for_undoing(near: Near) -> None:
    """FAULTS B11: or why it was not."""
    limits: list[float] = []
    reload = near.host.dagster.reload
    near.host.dagster.reload = lambda limit: limits.append(limit) or reload(limit)  # type: ignore[func-returns-value,method-assign]
    assert journal.reload_quietly(near.host) == []
    assert near.dagster.reloads == 2
    assert limits[0] < UNDOING
    near.dagster.stop()
    near.host.dagster.url = "http://127.0.0.1:9"
    (said,) = journal.reload_quietly(near.host)
    assert "does not answer" in said
