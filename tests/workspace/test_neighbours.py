"""The list of the workspaces on this machine, which is a hint and never does harm."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from dagster_module_builder.base import settings
from dagster_module_builder.shared_files.formats import env_file
from dagster_module_builder.workspaces import neighbours
from dagster_module_builder.workspaces.initialize import initialize


def env(root: Path) -> dict[str, str]:
    return env_file.values((root / settings.SERVICES / ".env").read_bytes())


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The list, in a separate place."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state/dagster-module-builder/workspaces/list"


def test_the_tests_note_nothing_among_the_users_workspaces(tmp_path: Path) -> None:
    """FAULTS E1: what tests make in this process is not noted in the home of whoever runs them."""
    initialize(tmp_path / "ws")
    listed = settings.state_folder() / "workspaces/list"
    assert listed.read_text() == f"{tmp_path / 'ws'}\n"
    assert not listed.is_relative_to(Path.home())


def test_the_list_is_private(tmp_path: Path, listed: Path) -> None:
    """FAULTS E1: no other user learns where a user's workspaces are, also where the folder was open before."""
    listed.parent.mkdir(parents=True, mode=0o755)
    neighbours.remember(tmp_path / "ws")
    with neighbours.one_at_a_time():
        assert stat.S_IMODE(listed.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in listed.parent.iterdir()} == {0o600}
    assert listed.read_text() == f"{tmp_path / 'ws'}\n"


def test_a_list_that_is_not_what_it_should_be_does_no_harm(tmp_path: Path, listed: Path) -> None:
    """FAULTS E1: entries that vanished, cannot be read or are hostile are passed over, and nothing is written there."""
    others = tmp_path / "others"
    for name in ("pipe", "folder", "binary", "device", "good"):
        (others / name / "services/dagster").mkdir(parents=True)
    os.mkfifo(others / "pipe/services/dagster/.env")
    (others / "folder/services/dagster/.env").mkdir()
    (others / "binary/services/dagster/.env").write_bytes(b"\xff\0='\n\x00")
    (others / "device/services/dagster/.env").symlink_to("/dev/zero")
    (others / "good/services/dagster/.env").write_bytes(b"COMPOSE_PROJECT_NAME='ws'\n")
    (target := tmp_path / "target").write_bytes(
        b"\n".join([b"gone", b"../x", b"/a\0b", b"/" + b"x" * 5000, b"\xff", *map(os.fsencode, others.iterdir())])
    )
    listed.parent.mkdir(parents=True)
    listed.symlink_to(target)
    before = target.read_bytes()

    initialize(tmp_path / "ws")

    assert env(tmp_path / "ws")["COMPOSE_PROJECT_NAME"] == "ws-2"
    assert target.read_bytes() == before
    assert listed.is_file()
    assert not listed.is_symlink()
    assert str(tmp_path / "ws") in listed.read_text(errors="surrogateescape").splitlines()


@pytest.mark.parametrize("state", ["/dev/null/state", "file"])
def test_a_workspace_is_made_where_nothing_can_be_noted(
    tmp_path: Path, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAULTS E1: a state folder that cannot be made or written to is no reason to fail."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / state))
    assert initialize(tmp_path / "ws").changed


def test_a_workspace_is_made_for_a_user_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS E1: a user whom the machine does not know, as in many containers, has no state folder."""
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 4242)
    with pytest.raises(RuntimeError):
        settings.state_folder()
    assert initialize(tmp_path / "ws").changed


def test_two_that_are_made_at_once_get_different_names(tmp_path: Path) -> None:
    """FAULTS E1: between choosing a name and noting it, no other is chosen."""
    roots = [tmp_path / str(number) / "workspace" for number in range(3)]
    threads = [threading.Thread(target=initialize, args=(root,)) for root in roots]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in ("COMPOSE_PROJECT_NAME", "WORKSPACE_NETWORK", "DAGSTER_PORT"):
        assert len({env(root)[name] for root in roots}) == len(roots), name
