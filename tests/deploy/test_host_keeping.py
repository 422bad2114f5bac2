"""What follows the switch on a host: the release stands and the oldest go, or the old one is back."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dagster_module_builder.deploy.host_side import files, journal, keep_or_undo, logbook
from dagster_module_builder.deploy.host_side.remains import read_remains
from tests.deploy.host_driver import MODULE, NEW, OLD
from tests.deploy.near_host import Near, near

__all__ = ["near"]

#: Whatever any process of the machine names stays, also one of these tests in another process.
pytestmark = pytest.mark.xdist_group("releases that processes name")

LOG = {"action": "deploy"}
#: What keeping a release says beside that.
NO_MORE = {"stopped": [], "problems": [], "automation": {"renamed": [], "stopped": [], "missed": []}}


def log_of(near: Near) -> list[dict[str, Any]]:
    """Return how things ended, as the module's log says."""
    lines = Path(logbook.log_of(near.host, MODULE)).read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == "ended"]


def begin(near: Near) -> None:
    near.host.begun = logbook.begin(near.host, [MODULE], {"who": "test", **LOG})


def release(near: Near, name: str, environment: str | None = None) -> Path:
    """Make a release, with its settings and its environment."""
    folder = near.there / "releases" / name
    folder.mkdir(exist_ok=True)
    (folder / "RELEASE.json").write_text(json.dumps({"environment": environment}))
    (near.there / f"env/{name.partition('.')[0]}.env").write_text("SALES_REPORT_TOKEN=x\n")
    if environment:
        (near.there / "venvs" / environment).mkdir(parents=True, exist_ok=True)
        (near.there / "venvs" / environment / ".complete").touch()
    return folder


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what is removed later removed now."""
    monkeypatch.setattr(keep_or_undo, "remove_later", files.remove_tree)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def five(near: Near) -> None:
    """Have three releases that are older than the current one and the one before it, each with an environment."""
    for number in range(1, 6):
        release(near, f"r{number}", f"{number}" * 16)
    (near.there / "state.json").write_text(json.dumps({"current": "r5", "previous": "r4"}))
    (near.there / "releases" / OLD / "src").rename(near.base / "src")
    (near.there / "releases" / OLD).rmdir()


@pytest.mark.parametrize(("keep", "gone"), [(1, "r3 r2 r1"), (2, "r3 r2 r1"), (3, "r2 r1"), (4, "r1"), (9, "")])
def test_the_oldest_releases_go_with_all_that_was_theirs(near: Near, keep: int, gone: str) -> None:
    five(near)
    answer = keep_or_undo.keep(near.host, [MODULE], keep, LOG)
    assert answer == {"pruned": gone.split(), **NO_MORE}
    stay = {f"r{number}" for number in range(1, 6)} - set(gone.split())
    assert names(near.there / "releases") == stay
    assert names(near.there / "env") == {f"{name}.env" for name in stay}
    assert names(near.there / "venvs") == {name[1] * 16 for name in stay}


def test_of_what_was_put_back_only_the_last_one_is_kept(near: Near) -> None:
    for name in ("r1.bad", "r2.bad"):
        release(near, name)
    keep_or_undo.keep(near.host, [MODULE], 2, LOG)
    assert names(near.there / "releases") == {OLD, "r2.bad"}
    assert names(near.there / "env") == {"r2.env"}


@contextlib.contextmanager
def process_in(folder: Path) -> Iterator[None]:
    waits = "import sys; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", waits, folder], stdin=subprocess.PIPE) as process:
        yield
        process.communicate()


def test_what_a_process_or_a_run_uses_stays(near: Near) -> None:
    """FAULTS B5: a release, and an environment whose release is gone."""
    five(near)
    environment = near.there / "venvs" / ("a" * 16)
    environment.mkdir()
    (environment / ".complete").touch()
    (near.there / "venvs" / ("b" * 16)).mkdir()
    (near.there / "venvs" / ("b" * 16) / ".complete").touch()
    code = [{"key": "working_directory", "value": str(near.there / "releases/r2/src")}]
    origin = {"repositoryLocationName": "x", "repositoryLocationMetadata": code}
    near.dagster.runs = [{"runId": "1", "status": "STARTED", "tags": [], "repositoryOrigin": origin}]
    with process_in(near.there / "releases/r1/src"), process_in(environment / "bin"):
        assert keep_or_undo.keep(near.host, [MODULE], 2, LOG)["pruned"] == ["r3"]
    assert names(near.there / "venvs") == {one * 16 for one in "1245a"}


def test_no_release_goes_while_it_is_not_known_what_runs(near: Near) -> None:
    """FAULTS B5."""
    five(near)
    near.host.dagster.url = "http://127.0.0.1:9"
    assert keep_or_undo.keep(near.host, [MODULE], 2, LOG) == {"pruned": [], **NO_MORE}
    assert len(names(near.there / "releases")) == 5


def pending(near: Near) -> None:
    """Have a change of one file that can be taken back."""
    path = str(near.base / "workspace.yaml")
    old, text = Path(path).read_bytes(), b"load_from: []\n"
    change = {"path": path, "before": files.digest(old), "old": old, "text": text, "mode": 0o644}
    journal.write_journal(near.host, [change], [])
    files.write(path, text)


def test_a_release_stands_before_anything_else_is_asked_or_removed(near: Near) -> None:
    """FAULTS B4: the log says so even where what follows fails."""
    begin(near)
    pending(near)
    (near.there / "releases/r1").mkdir()
    (near.there / "releases/r1/RELEASE.json").write_text("{")
    (near.base / "modules/.remains").mkdir()
    (near.base / f"modules/.remains/{MODULE}.json").write_text("{}")
    seen: list[bool] = []
    near.dagster.on_request = lambda _: seen.append(journal.is_pending(near.host))
    answer = keep_or_undo.keep(near.host, [MODULE], 2, LOG)
    assert seen == [False]
    assert "RELEASE.json on the host is not valid JSON" in answer["problems"][0]
    (line,) = log_of(near)
    assert (line["action"], line["result"], line["release"]) == ("deploy", "good", OLD)
    assert names(near.base / "modules/.remains") == set()


def test_what_the_disk_refuses_behind_the_switch_is_told(near: Near, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS B4."""
    five(near)

    def refuse(*_: object) -> None:
        raise OSError("no more")

    monkeypatch.setattr(keep_or_undo, "set_aside", refuse)
    assert keep_or_undo.keep(near.host, [MODULE], 2, LOG)["problems"] == ["no more"]


def test_servers_serve_and_go_with_their_releases(near: Near) -> None:
    """FAULTS B11: the current one is noted as serving, others are to go."""
    servers = near.there / "servers"
    for name in ("old", "new"):
        (servers / name).mkdir(parents=True)
    (near.there / "state.json").write_text(json.dumps({"current": OLD, "server": {"name": "new"}}))
    near.host.begun_servers.append((MODULE, "new"))
    retired: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "dagster_module_builder.deploy.host_side.server_end.stop_later", lambda *given: retired.append(given[2])
        )
        assert keep_or_undo.keep(near.host, [MODULE], 2, LOG)["problems"] == []
    assert retired == ["old"]
    assert near.host.begun_servers == []
    assert (servers / "new/served").exists() or any(path.is_file() for path in (servers / "new").iterdir())


def test_what_was_begun_is_removed_when_the_old_release_comes_back(near: Near) -> None:
    begin(near)
    before = (near.base / "workspace.yaml").read_bytes()
    pending(near)
    (near.base / "workspace.yaml").write_text("load_from: [] # mine\n")
    (near.there / "releases" / f"{NEW}.tmp").mkdir()
    answer = keep_or_undo.go_back(near.host, [MODULE, "none"], LOG)
    assert len(answer["problems"]) == 1
    assert "was edited in the meantime" in answer["problems"][0]
    assert near.dagster.reloads == 2
    assert names(near.there / "releases") == {OLD}
    (line,) = log_of(near)
    assert (line["action"], line["result"]) == ("deploy", "bad")
    assert before != (near.base / "workspace.yaml").read_bytes()
    assert keep_or_undo.go_back(near.host, [], LOG) == {"problems": []}
    assert near.dagster.reloads == 2, "nothing was to be put back"


def data_of(near: Near) -> tuple[dict[str, Any], Path]:
    """Return what a module has stored, dumped, and where."""
    storage, dump = near.base / "storage", near.base / "dump"
    (storage / "sales_report").mkdir(parents=True)
    dump.mkdir()
    return {"location": "sales_report", "storage": str(storage), "dump": {"folder": str(dump), "files": {}}}, storage


@pytest.mark.parametrize("deletes", [True, False, None])
def test_data_is_remembered_until_it_is_deleted(near: Near, deletes: bool | None) -> None:
    """FAULTS B7."""
    begin(near)
    pending(near)
    data, storage = data_of(near)
    gone = near.base / f"modules/.journal.{MODULE}.gone"
    (gone / "left").mkdir(parents=True)
    options = {} if deletes is None else {"deletes": deletes}
    answer = keep_or_undo.remove_module(near.host, MODULE, LOG, None, data, **options)
    assert answer == {"deleted": [f"{storage}/sales_report"] * bool(deletes), "problems": []}
    assert (storage / "sales_report").exists() is not bool(deletes)
    assert bool(read_remains(near.host, MODULE)) is not bool(deletes)
    assert not near.there.exists()
    assert not gone.exists()
    assert not journal.is_pending(near.host)
    (line,) = log_of(near)
    assert (line["action"], line["result"]) == ("deploy", "removed")
    assert keep_or_undo.remove_module(near.host, MODULE, LOG, None, data, **options)["problems"] == []


def test_a_dump_that_is_not_whole_keeps_the_data_and_what_is_known_of_it(near: Near) -> None:
    """FAULTS B7: with the image that an earlier, cut off removal noted."""
    data, storage = data_of(near)
    data["dump"]["files"] = {"none": "digest"}
    (near.base / "modules/.remains").mkdir()
    (near.base / f"modules/.remains/{MODULE}.json").write_text('{"image": "sha256:1"}')
    answer = keep_or_undo.remove_module(near.host, MODULE, LOG, None, data, deletes=True)
    assert "is incomplete or was changed" in answer["problems"][0]
    assert (storage / "sales_report").exists()
    assert read_remains(near.host, MODULE) == {**data, "image": "sha256:1"}


def test_without_data_nothing_is_deleted_or_remembered(near: Near) -> None:
    assert keep_or_undo.remove_module(near.host, MODULE, LOG, deletes=True) == {"deleted": [], "problems": []}
    assert not (near.base / "modules/.remains").exists()


def test_a_removal_is_logged_where_the_folder_cannot_be_removed(near: Near, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(near)

    def refuse(*_: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(keep_or_undo, "set_aside", refuse)
    dropped: list[str] = []
    monkeypatch.setattr(keep_or_undo, "drop_all", lambda _, module: dropped.append(module))
    assert keep_or_undo.remove_module(near.host, MODULE, LOG)["problems"] == ["no"]
    assert [line["result"] for line in log_of(near)] == ["removed"]
    assert dropped == [MODULE]


def test_servers_that_were_begun_are_ended_when_the_old_release_comes_back(
    near: Near, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[object] = []
    monkeypatch.setattr(keep_or_undo, "drop_begun", ended.append)
    begin(near)
    keep_or_undo.go_back(near.host, [], LOG)
    assert ended == [near.host]
    assert [line["result"] for line in log_of(near)] == ["bad"], "also where nothing was switched"


def test_services_and_images_go_with_what_used_them(near: Near, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS B11: while the journal can still bring the services back; their image is remembered with the data."""
    five(near)
    (near.there / "releases/r1/RELEASE.json").write_text('{"image": "sha256:1"}')
    seen: list[object] = []
    monkeypatch.setattr(keep_or_undo, "drop", lambda host, *given: seen.append((*given, journal.is_pending(host))))
    monkeypatch.setattr(keep_or_undo, "forget_image", lambda _, *given: seen.append(given))
    monkeypatch.setattr(keep_or_undo, "image_of", lambda *given: f"image of {given[2][0]}")
    journal.write_journal(near.host, [], [], {"folder": "dagster", "names": [], "gone": ["db"], "old": []})
    assert keep_or_undo.keep(near.host, [MODULE], 4, LOG)["stopped"] == ["db"]
    assert seen == [("dagster", ["db"], True), (MODULE, "r1", "sha256:1")]
    seen.clear()
    data, _ = data_of(near)
    keep_or_undo.remove_module(near.host, MODULE, LOG, {"folder": "dagster", "names": ["db"]}, data)
    assert seen == [("dagster", ["db"], False)]
    assert read_remains(near.host, MODULE)["image"] == "image of db"
