"""Commits that are cut off or that fail, at each of their steps: whoever comes next has all old or all new."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import DamagedFileError, NoWorkspaceError, RefusedError, ToolError
from dagster_module_builder.transactions.backups import BACKUP_AGE, backup_ids, backup_time, prune_backups
from dagster_module_builder.transactions.lock import locked
from dagster_module_builder.transactions.plan import FileChange, Plan
from dagster_module_builder.transactions.recovery import recover
from dagster_module_builder.transactions.replacement import ChangedMeanwhileError
from dagster_module_builder.transactions.transaction import RolledBackError, commit, commit_one
from tests import needs
from tests.engine.folders import make_workspace

CRASHED = 99
#: Which change of the disk hits a commit when some of its files are replaced, but not the last one.
HALF = 13
#: What a commit does to its last file, which decides: the text before and after, and the modes.
LASTS = {
    "replaced": (b"old", b"new", None),
    "made": (None, b"new", None),
    "deleted": (b"old", None, None),
    "given another mode": (b"old", b"old", (0o640, 0o600)),
}
Files = dict[str, tuple[bytes, int]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return made_in(tmp_path / "ws")


def made_in(folder: Path) -> Path:
    root = make_workspace(folder)
    for name in ("first", "gone", "last"):
        (root / name).write_bytes(b"old")
        (root / name).chmod(0o640)
    return root


def plan_with(root: Path, last: str) -> Plan:
    before, after, chmod = LASTS[last]
    if before is None:
        (root / "last").unlink()
    return Plan(
        (
            FileChange(root / "first", b"old", b"new"),
            FileChange(root / "folder/inner/made", None, b"new", 0o600),
            FileChange(root / "gone", b"old", None),
            FileChange(root / "last", before, after, 0o600, chmod),
        )
    )


def files(root: Path) -> Files:
    """Return what stands in the workspace beside the transaction's own files."""
    own = (".lock", ".journal")
    return {
        str(path.relative_to(root)): (path.read_bytes() if path.is_file() else b"", stat.S_IMODE(path.stat().st_mode))
        for path in sorted(root.rglob("*"))
        if root / settings.BACKUPS not in (path, *path.parents) and not path.name.startswith(own)
    }


def in_child(act: Callable[[], object], at: int, fault: BaseException | None = None, *, lasting: bool = False) -> str:
    """Do something in a process in which the ``at``-th change of the disk (from 1) does not happen.

    Args:
        act: What is done.
        at: Which of its renames and deletions is hit.
        fault: What that one raises; None for the process's end.
        lasting: Let all that come after it fail, too.

    Returns:
        The error that it ended with, or nothing.
    """
    end, said = os.pipe()
    process = os.fork()
    if process == 0:
        done = 0

        def hook(event: str, _: object) -> None:
            nonlocal done
            if event not in {"os.rename", "os.remove"}:
                return
            done += 1
            if done == at or (lasting and done > at):
                if fault is None:
                    os._exit(CRASHED)
                raise fault

        sys.addaudithook(hook)
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - it is handed over
            os.write(said, f"{type(error).__name__}: {error}".encode())
        os._exit(0)
    os.close(said)
    with os.fdopen(end) as answer:
        text = answer.read()
    ended = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert ended in (0, CRASHED)
    return "cut off" if ended == CRASHED else text


def committed(root: Path, plan: Plan) -> Files:
    with locked(root):
        commit(root, plan)
    return files(root)


@pytest.mark.parametrize("proof", [None, lambda: None], ids=["not proven", "proven"])
@pytest.mark.parametrize("last", LASTS)
def test_a_commit_that_is_cut_off_anywhere_is_all_old_or_all_new(
    tmp_path: Path, last: str, proof: Callable[[], None] | None
) -> None:
    """FAULTS B11: also where the last file is made, deleted, or only gets another mode."""
    seen = []
    for at in range(1, 100):
        root = made_in(tmp_path / str(at))
        plan, old = plan_with(root, last), files(root)
        ended = in_child(lambda root=root, plan=plan: commit(root, plan, proof), at)
        messages = recover(root)
        assert not (root / settings.REGISTRY).with_name(".journal").exists()
        assert recover(root) == []
        seen.append((files(root) == old, bool(messages)))
        if ended != "cut off":
            break
    assert ended == ""
    # First nothing was begun, then it is undone, then it is finished.
    assert sorted(set(seen), key=seen.index) == [(True, False), (True, True), (False, False)]
    assert seen == sorted(seen, key=[(True, False), (True, True), (False, False)].index)
    # Also where it was cut off with all in place, if that is enough.
    assert proof or seen.count((False, False)) > 1
    new = files(root)
    assert new["first"] == (b"new", 0o640)
    assert new["folder/inner/made"] == (b"new", 0o600)
    assert new.get("last", (b"", 0))[1] == {"replaced": 0o640, "deleted": 0}.get(last, 0o600)
    assert {*new} - {*old} == {"folder", "folder/inner", "folder/inner/made"} | ({"last"} if last == "made" else set())
    assert {*old} - {*new} == {"gone"} | ({"last"} if last == "deleted" else set())


@pytest.mark.parametrize("last", LASTS)
def test_what_could_not_be_proven_is_taken_back(tmp_path: Path, last: str) -> None:
    for at, fault in enumerate((RefusedError("It does not hold."), OSError(errno.EIO, "Broken"), KeyboardInterrupt())):
        root = made_in(tmp_path / str(at))
        plan, old, seen = plan_with(root, last), files(root), []

        def proof(root: Path = root, fault: BaseException = fault, seen: list[Files] = seen) -> None:
            seen.append(files(root))
            raise fault

        with pytest.raises((RefusedError, RolledBackError, KeyboardInterrupt)), locked(root):
            commit(root, plan, proof)
        assert files(root) == old != seen[0]
        assert recover(root) == []


@pytest.mark.parametrize("last", LASTS)
def test_what_was_still_to_be_proven_is_taken_back_by_the_next_command(
    root: Path, last: str, caplog: pytest.LogCaptureFixture
) -> None:
    plan, old = plan_with(root, last), files(root)
    assert in_child(lambda: commit(root, plan, lambda: os._exit(CRASHED)), 100) == "cut off"
    assert files(root) != old
    with locked(root):
        assert caplog.messages == ["An earlier command was cut off: workspace restored from backup."]
    assert files(root) == old


@pytest.mark.parametrize("last", LASTS)
def test_recovery_that_is_cut_off_anywhere_is_repeated(root: Path, last: str) -> None:
    plan, old = plan_with(root, last), files(root)
    for at in range(1, 100):
        assert in_child(lambda: commit(root, plan), HALF) == "cut off"
        ended = in_child(lambda: recover(root), at)
        recover(root)
        assert files(root) == old
        if ended != "cut off":
            break
    assert at > 3


def test_a_commit_whose_disk_fails_once_puts_everything_back_and_says_so(root: Path) -> None:
    plan, old = plan_with(root, "replaced"), files(root)
    said = []
    for at in range(1, 100):
        said.append(in_child(lambda: commit(root, plan), at, OSError(errno.ENOSPC, "No space left", "x/y")))
        left = list((root / settings.REGISTRY).parent.glob(".journal*"))
        recover(root)
        if files(root) != old:
            break
        assert left == []
        assert said[-1].startswith("RolledBackError: x/y: No space left: ")
    ends = [text.rpartition(": ")[2] for text in said if text]
    assert ends == sorted(ends)  # first nothing was changed, then everything was put back
    assert {*ends} == {"nothing was changed.", "workspace restored from backup."}


def test_a_commit_that_can_neither_go_on_nor_back_leaves_that_to_the_next_command(root: Path) -> None:
    plan, old = plan_with(root, "replaced"), files(root)
    said = []
    for at in range(8, 15):
        said.append(in_child(lambda: commit(root, plan), at, OSError(errno.EIO, ""), lasting=True))
        recover(root)
        assert files(root) == old
    assert any("the next command finishes or undoes what was begun." in text for text in said)


def test_an_interruption_puts_everything_back_and_goes_on(root: Path) -> None:
    plan, old = plan_with(root, "replaced"), files(root)
    assert in_child(lambda: commit(root, plan), HALF, KeyboardInterrupt()) == "KeyboardInterrupt: "
    assert not (root / settings.REGISTRY).with_name(".journal").exists()
    assert files(root) == old


def test_what_a_person_wrote_since_a_crash_stays_and_is_named_with_the_old_ones_place(root: Path) -> None:
    plan = plan_with(root, "replaced")
    assert in_child(lambda: commit(root, plan), HALF) == "cut off"
    (root / "first").write_bytes(b"mine")
    (backup,) = backup_ids(root)
    first, second = recover(root)
    assert "restored from backup" in first
    assert second == (
        f"{root / 'first'} was changed since, and is left as it is. "
        f"Its old version is in {root / settings.BACKUPS / backup}."
    )
    assert (root / "first").read_bytes() == b"mine"


@pytest.mark.parametrize("journal", ["{", "[]", "3", "{}", '{"backup": "gone", "files": []}', '{"backup": 3}'])
def test_a_journal_that_cannot_be_followed_names_the_backups(root: Path, journal: str) -> None:
    place = (root / settings.REGISTRY).with_name(".journal")
    place.write_text(journal)
    with pytest.raises(DamagedFileError, match="its backup is gone") as caught, locked(root):
        pass
    assert caught.value.place == str(place)
    assert str(root / settings.BACKUPS) in caught.value.way_out


def test_a_backup_that_lost_its_list_is_named(root: Path) -> None:
    assert in_child(lambda: commit(root, plan_with(root, "replaced")), HALF) == "cut off"
    (backup,) = backup_ids(root)
    (root / settings.BACKUPS / backup / "backup.json").write_text("{")
    with pytest.raises(DamagedFileError, match="its backup is gone"):
        recover(root)


def test_a_backup_says_what_it_holds(root: Path) -> None:
    committed(root, plan_with(root, "made"))
    (backup,) = backup_ids(root)
    held = json.loads((root / settings.BACKUPS / backup / "backup.json").read_text())
    assert held["id"] == backup
    assert {file["path"]: file["held"] for file in held["files"]} == {
        "first": "0-first", "folder/inner/made": None, "gone": "2-gone", "last": None
    }  # fmt: skip


def test_a_single_file_is_made_with_its_folders_and_only_where_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "a/b/file"
    commit_one(FileChange(path, None, None))
    assert not path.parent.exists()
    for before, after in ((None, b"1"), (b"1", b"2")):
        commit_one(FileChange(path, before, after))
        assert path.read_bytes() == after
    for after in (b"3", None):
        with pytest.raises(ChangedMeanwhileError):
            commit_one(FileChange(path, b"1", after))
    assert [path.name for path in path.parent.iterdir()] == ["file"]
    path.chmod(0o444)
    with pytest.raises(RefusedError, match="read-only"):
        commit_one(FileChange(path, b"2", b"3"))
    with pytest.raises(RefusedError, match=re.escape(f"{path}: ") + ".*: nothing was changed"):
        commit_one(FileChange(path / "below", None, b"3"))
    assert path.read_bytes() == b"2"


def test_the_lock_needs_a_workspace_and_makes_its_own_folder(root: Path, tmp_path: Path) -> None:
    with pytest.raises(NoWorkspaceError), locked(tmp_path):
        pass
    modules = (root / settings.REGISTRY).parent
    shutil.rmtree(modules)
    with locked(root):
        holder = json.loads((modules / ".lock-holder").read_text())
        assert holder["pid"] == os.getpid()
    assert not (modules / ".lock-holder").exists()
    with locked(root, wait=0.1):
        pass


def test_what_an_earlier_version_kept_out_of_git_is_brought_up_to_date(root: Path) -> None:
    ignored = (root / settings.REGISTRY).with_name(".gitignore")
    ignored.unlink()
    with locked(root):
        own = ignored.read_bytes()
    assert own.endswith(b"!servers/\n!servers/*\n")
    ignored.write_bytes(own.replace(b"!servers/\n!servers/*\n", b""))
    with locked(root):
        assert ignored.read_bytes() == own
    ignored.write_bytes(b"# What a person wrote\n")
    with locked(root):
        assert ignored.read_bytes() == b"# What a person wrote\n"


def test_errors_of_the_disk_name_the_file(root: Path) -> None:
    with pytest.raises(ToolError, match=r"^x: No space left\.$") as caught, locked(root):
        raise OSError(errno.ENOSPC, "No space left", "x")
    with locked(root, wait=0.1):
        assert caught.tb  # whoever keeps the error does not keep the lock
    with pytest.raises(ToolError, match=r"^No space left\.$"), locked(root):
        raise OSError(errno.ENOSPC, "No space left")
    with pytest.raises(ToolError, match=r"^strange\.$"), locked(root):
        raise OSError("strange")
    modules = (root / settings.REGISTRY).parent
    for own in modules.iterdir():
        own.unlink()
    modules.rmdir()
    modules.write_text("a file")
    with pytest.raises(RefusedError, match="the workspace cannot be locked"), locked(root):
        pass


@pytest.mark.parametrize("holder", [None, "", "[]", "{}"])
def test_a_holder_that_cannot_be_read_is_another_command(root: Path, holder: str | None) -> None:
    modules = (root / settings.REGISTRY).parent
    with locked(root):
        (modules / ".lock-holder").unlink()
        if holder is not None:
            (modules / ".lock-holder").write_text(holder)
        said = in_child(lambda: locked(root, wait=0.05).__enter__(), 100)
    assert (
        said == "LockedError: The workspace is in use: another command holds it. Try again when that command has ended."
    )


def test_a_commit_clears_away_what_is_old_and_what_was_begun(root: Path) -> None:
    backups = root / settings.BACKUPS
    long_ago = datetime(2020, 1, 1, tzinfo=timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
    for name in (long_ago, f".{long_ago}.tmp", "mine"):
        (backups / name).mkdir(parents=True)
    committed(root, plan_with(root, "replaced"))
    (backup,) = backup_ids(root)
    assert {path.name for path in backups.iterdir()} == {backup, "mine"}
    made = backup_time(backup)
    assert made
    newer = (made + timedelta(seconds=1)).strftime("%Y%m%dT%H%M%S.%fZ")
    (backups / newer).mkdir()
    for name in (long_ago, f".{long_ago}.tmp"):
        (backups / name).write_text("no folder, and no reason to stop")
    assert prune_backups(root, made + BACKUP_AGE) == [long_ago]
    assert prune_backups(root, made + BACKUP_AGE + timedelta(microseconds=1)) == [long_ago, backup]
    assert not (backups / backup).exists()


def test_a_commit_without_changes_makes_no_backup(root: Path) -> None:
    assert commit(root, Plan((FileChange(root / "first", b"old", b"old"),))) is None
    assert backup_ids(root) == []


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, object]]:
    """Note what is flushed, as it is at that moment: how many bytes a file has, the names in a folder."""
    calls: list[tuple[Path, object]] = []
    fsync = os.fsync

    def noted(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        calls.append((path, {entry.name for entry in path.iterdir()} if path.is_dir() else os.fstat(handle).st_size))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    return calls


def test_what_is_flushed_is_complete(root: Path, flushed: list[tuple[Path, object]]) -> None:
    """FAULTS B11: a flush before the bytes, or before the name, keeps nothing of them."""
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    commit(root, plan_with(root, "replaced"))
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before
    sizes = {path.name: size for path, size in flushed if isinstance(size, int)}
    assert {sizes[f"{name}.dagster-module-builder.tmp"] for name in ("first", "made", "last")} == {len(b"new")}
    assert 0 not in sizes.values()
    staged = [names for path, names in flushed if path.parent == root / settings.BACKUPS]
    assert staged == [{"backup.json", "0-first", "2-gone", "3-last"}]


def test_a_made_file_that_is_taken_back_is_gone_from_the_disk(root: Path, flushed: list[tuple[Path, object]]) -> None:
    """FAULTS B11: else a crash after recovery would bring it back."""
    assert in_child(lambda: commit(root, plan_with(root, "replaced")), HALF) == "cut off"
    assert (root / "folder/inner/made").exists()
    recover(root)
    assert (root / "folder/inner", set()) in flushed


def test_a_finished_commit_is_cleared_away_however_often_that_is_cut_off(root: Path) -> None:
    staged = root / "first.dagster-module-builder.tmp"
    for at in range(1, 100):
        plan = plan_with(root, "replaced")
        assert in_child(lambda plan=plan: commit(root, plan), HALF) == "cut off"
        (root / "last").write_bytes(b"new")
        staged.write_bytes(b"ne")
        ended = in_child(lambda: recover(root), at)
        assert recover(root) == []
        assert not staged.exists()
        if ended != "cut off":
            break
        made_again(root)
    assert at > 3


def made_again(root: Path) -> None:
    """Bring the files back that a plan begins with."""
    (root / "folder/inner/made").unlink(missing_ok=True)
    for name in ("first", "gone", "last"):
        (root / name).write_bytes(b"old")


def test_a_single_file_below_a_folder_is_written_there(tmp_path: Path) -> None:
    commit_one(FileChange(tmp_path / "file", None, b"1", below=tmp_path))
    assert (tmp_path / "file").read_bytes() == b"1"


def test_mounts_are_found_whatever_their_names_and_read_only_ones_are_refused(tmp_path: Path) -> None:
    """The kernel's list of mounts escapes four characters (proc(5)); on a read-only mount, modes say nothing."""
    needs.root()
    needs.program("unshare")
    odd, folder = tmp_path / "a b\tc\\d\ne", tmp_path / "folder"
    folder.mkdir()
    for path in (odd, tmp_path / "other", folder / "file"):
        path.write_text("")
    code = (
        "import pathlib, sys\nfrom dagster_module_builder.base import errors\n"
        "from dagster_module_builder.transactions import plan, transaction\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n        transaction.commit_one(plan.FileChange(pathlib.Path(name), b'', b'1'))\n"
        "    except errors.RefusedError as error:\n        print(error)\n"
    )
    mounts = [("mount", "--bind", tmp_path / "other", odd), ("mount", "--bind", "-o", "ro", folder, folder)]
    steps = [*mounts, (sys.executable, "-c", code, odd, folder / "file")]
    script = " && ".join(shlex.join(map(str, step)) for step in steps)
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = ["unshare", "--mount", "sh", "-c", script]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if "permission denied" in done.stderr.lower() or "not permitted" in done.stderr.lower():
        needs.lacking("a kernel that lets this user mount")
    assert f"{odd} is mounted as a single file" in done.stdout, done.stderr
    assert f"{folder / 'file'} is read-only" in done.stdout
