"""Killed, out of space or with I/O errors at any system call: the workspace is all old or all new."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.transactions.backups import backup_ids
from dagster_module_builder.transactions.lock import locked
from dagster_module_builder.workspaces.add import add_module
from tests.engine.driver import CRASHED, DONE, carry_out
from tests.engine.faults import Driver, Ended, pairs
from tests.engine.folders import make_workspace, registry, services, shared, stamps, state
from tests.engine.injuries import (
    MOST_CALLS,
    PREPARED,
    before_add,
    before_remove,
    copied,
    examined,
    hit_each,
    numbers,
    recovered,
)


@pytest.mark.parametrize(("fault", "calls"), pairs())
@pytest.mark.parametrize("name", PREPARED)
def test_whatever_fails_at_whichever_call_all_is_old_or_all_is_new(
    name: str,
    fault: str,
    calls: str,
    driver: Driver,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    start = make_workspace(tmp_path / "start")
    PREPARED[name](start)
    command = (name, backup_ids(start)[0] if name == "restore" else "seo")
    old = state(start)
    whole = shutil.copytree(start, tmp_path / "whole")
    assert carry_out(name, whole, command[1]) == DONE
    new = state(whole)
    assert old != new
    root = tmp_path / "injured"
    points = hit_each(
        driver, command, fault, calls, numbers(fault, calls),
        fresh=lambda: copied(start, root), examine=lambda root, ended: examined(root, ended, old, new),
    )  # fmt: skip
    record_property("points", points)


@pytest.mark.parametrize(("fault", "calls"), pairs())
@pytest.mark.parametrize("cut_off_at", [3, 5, 7])
def test_recovery_too_may_fail_at_any_call(
    cut_off_at: int,
    fault: str,
    calls: str,
    driver: Driver,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    start = make_workspace(tmp_path / "start")
    before_remove(start)
    old = state(start)
    assert driver.run(("remove", "seo"), start, "killed", "rename", cut_off_at).injured
    assert (start / settings.REGISTRY).with_name(".journal").exists()

    def examine(root: Path, ended: Ended) -> None:
        assert ended.code != CRASHED, (root / "traceback.txt").read_text()
        recovered(root)
        assert state(root) == old

    root = tmp_path / "injured"
    points = hit_each(
        driver, ("recover", ""), fault, calls, numbers(fault, calls),
        fresh=lambda: copied(start, root), examine=examine,
    )  # fmt: skip
    record_property("points", points)


def test_a_commit_that_was_cut_off_after_its_last_file_is_finished(driver: Driver, tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws")
    before_add(root)
    journal = (root / settings.REGISTRY).with_name(".journal")
    for number in range(1, MOST_CALLS):
        driver.run(("add", "seo"), root, "killed", "unlink", number)
        if journal.exists() and any(entry["name"] == "seo" for entry in registry(root)["integrated_modules"]):
            break
    dockerfile = services(root) / "Dockerfile"
    dockerfile.write_bytes(dockerfile.read_bytes() + b"# by hand\n")
    recovered(root)
    assert b"# BEGIN: seo" in (services(root) / ".env").read_bytes()
    assert b"# BEGIN: seo" in dockerfile.read_bytes()
    assert dockerfile.read_bytes().endswith(b"# by hand\n")


def test_recovery_leaves_what_a_person_wrote_since(
    driver: Driver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = make_workspace(tmp_path / "ws")
    before_add(root)
    old = shared(root)
    assert driver.run(("add", "seo"), root, "killed", "rename", 6).injured
    env = services(root) / ".env"
    env.write_bytes(env.read_bytes() + b"TYPED='1'\n")
    with locked(root):
        assert any(str(env) in message and "left as it is" in message for message in caplog.messages)
    assert env.read_bytes().endswith(b"TYPED='1'\n")
    assert {**shared(root), ".env": b""} == {**old, ".env": b""}


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"backup": "gone", "files": []}'])
def test_a_journal_that_cannot_be_followed_is_named_and_kept(text: bytes, tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws")
    before_add(root)
    journal = (root / settings.REGISTRY).with_name(".journal")
    journal.write_bytes(text)
    old = stamps(root)
    with pytest.raises(BuilderError, match=r"modules/\.journal"):
        add_module(root, "seo")
    assert stamps(root) == old
