"""How the host's side puts files, links and folders in place, and takes them away."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dagster_module_builder.deploy.host_side import files
from dagster_module_builder.deploy.host_side.errors import RefusedError
from tests import needs
from tests.deploy import spread
from tests.deploy.near_host import Near, near

__all__ = ["near"]


def test_what_is_no_file_has_no_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert files.read(str(tmp_path / "file")) == b""
    assert files.read(str(tmp_path / "none")) is None
    assert files.read(str(tmp_path / "file/below")) is None
    assert files.digest(None) is None
    assert files.digest(b"") is not None


def test_json_that_is_damaged_is_named(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert files.read_json(str(path), {}) == {}
    path.write_text('{"current": "x"}')
    assert files.read_json(str(path), {}) == {"current": "x"}
    path.write_text('{"current"')
    with pytest.raises(RefusedError, match=r"state\.json on the host is not valid JSON"):
        files.read_json(str(path), {})


def test_a_file_is_whole_on_the_disk_before_it_has_its_name(near: Near) -> None:
    """FAULTS B11: its bytes, its name, and its folder, in this order; what an earlier one left there goes."""
    path = near.base / "workspace.yaml"
    path.with_name("workspace.yaml.deploy.tmp").write_text("left behind")
    old_mask = os.umask(0o077)
    try:
        files.write(str(path), b"new", 0o664)
    finally:
        os.umask(old_mask)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o664
    staged = "workspace.yaml.deploy.tmp"
    assert near.steps == [f"unlink {staged}", f"fsync {staged} 3", f"rename {staged} workspace.yaml", "fsync ."]
    near.steps.clear()
    files.put(str(path), b"passing", lasting=False)
    assert near.steps == [f"rename {staged} workspace.yaml"]


def test_a_file_that_cannot_be_put_in_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        files.put(str(tmp_path / "folder"), b"text")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_file_keeps_its_owner(near: Near) -> None:
    """FAULTS B11: also where the deployer is another user; one's own file is not touched."""
    needs.root()
    path = near.base / "workspace.yaml"
    os.chown(path, 1234, 4321)
    near.steps.clear()
    files.write(str(path), b"new")
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 4321)
    os.chown(path, 0, 4321)
    files.write(str(path), b"newer")
    assert (path.stat().st_uid, path.stat().st_gid) == (0, 4321)
    os.chown(path, 0, 0)
    near.steps.clear()
    files.write(str(path), b"newest")
    assert not [step for step in near.steps if step.startswith("chown")]


def test_a_file_that_is_mounted_singly_is_told_from_others(tmp_path: Path) -> None:
    """FAULTS B1: whatever characters its path has, and on one file system."""
    needs.root()
    path, other = tmp_path / "a b\\c\td\ne.yaml", tmp_path / "other"
    path.touch()
    other.touch()
    assert not files.is_mounted_singly(str(path))
    spread.mount("--bind", other, path)
    try:
        assert files.is_mounted_singly(str(path))
        assert not files.is_mounted_singly(str(other))
    finally:
        subprocess.run(["umount", str(path)], check=True)


def failing(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def rename(*paths: str) -> None:
        raise OSError(code, os.strerror(code), *paths[:1])

    monkeypatch.setattr(os, "rename", rename)


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EBUSY])
def test_a_folder_that_cannot_have_another_name_is_removed(
    near: Near, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    folder = near.base / "folder"
    (folder / "below").mkdir(parents=True)
    failing(monkeypatch, code)
    files.set_aside(str(folder), f"{folder}.gone")
    assert not folder.exists()
    assert near.steps[-1] == "fsync ."


def test_a_folder_is_set_aside_in_place_of_an_earlier_one(near: Near, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, name = near.base / "folder", near.base / "folder.gone"
    (folder / "new").mkdir(parents=True)
    (name / "old").mkdir(parents=True)
    near.steps.clear()
    files.set_aside(str(folder), str(name))
    assert [path.name for path in name.iterdir()] == ["new"]
    assert near.steps[-2:] == ["rename folder folder.gone", "fsync ."]
    folder.mkdir()
    failing(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        files.set_aside(str(folder), str(name))
    assert folder.exists()


def test_a_folder_is_closed_again(tmp_path: Path) -> None:
    before = list(Path("/proc/self/fd").iterdir())
    files.sync(str(tmp_path))
    assert len(list(Path("/proc/self/fd").iterdir())) == len(before)


@pytest.mark.parametrize(("program", "all_of_it"), [("exit 0", False), ("exit 1", True), (None, True)])
def test_all_file_systems_are_synced_where_one_alone_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str | None, all_of_it: bool
) -> None:
    """FAULTS B11: by ``sync`` of BusyBox, or where there is none."""
    if program:
        (tmp_path / "sync").write_text(f"#!/bin/sh\n{program}\n")
        (tmp_path / "sync").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    synced: list[str] = []
    monkeypatch.setattr(os, "sync", lambda: synced.append("all"))
    with files.lasting(str(tmp_path)):
        pass
    assert synced == ["all"] * all_of_it


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """Give a folder to a user whom rights hold back, as root is not, and become that user."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(folder, 65534, -1)
        os.seteuid(65534)
    yield folder
    if is_root:
        os.seteuid(0)
    shutil.rmtree(folder)


def test_a_folder_that_is_read_only_is_removed(unprivileged: Path) -> None:
    below = unprivileged / "release/src/package"
    below.mkdir(parents=True)
    (below / "code.py").touch()
    for path in (below, *below.parents[:2]):
        path.chmod(0o555)
    files.remove_tree(str(unprivileged / "release"))
    assert not (unprivileged / "release").exists()


def test_a_link_is_removed_and_not_what_it_points_to(tmp_path: Path) -> None:
    folder, link, file = tmp_path / "folder", tmp_path / "link", tmp_path / "file"
    folder.mkdir()
    link.symlink_to(folder)
    file.touch()
    for path in (link, file, tmp_path / "none"):
        files.remove_tree(str(path))
    assert list(tmp_path.iterdir()) == [folder]
    files.remove_tree(str(folder))
    assert not folder.exists()


def test_what_is_removed_later_outlives_the_conversation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS B11: in a separate session, which no hangup of the connection ends."""
    session = tmp_path / "session"
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "find").write_text(f"#!/bin/sh\ncut -d' ' -f6 /proc/$$/stat > '{session}'\n")
    (programs / "find").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    begun: list[subprocess.Popen[bytes]] = []
    begin = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *one, **options: begun.append(begin(*one, **options)))
    files.remove_later(str(folder))
    begun[0].wait(20)
    assert not folder.exists()
    assert int(session.read_text()) != os.getsid(0)


def test_a_link_changes_in_one_step(near: Near) -> None:
    link = near.base / "current"
    link.symlink_to("old")
    link.with_name("current.deploy.tmp").symlink_to("left behind")
    files.point(str(link), "new")
    assert files.target_of(str(link)) == "new"
    assert near.steps == ["unlink current.deploy.tmp", "rename current.deploy.tmp current"]
    files.point(str(link), None)
    files.point(str(link), None)
    assert files.target_of(str(link)) is None
    assert not link.is_symlink()
