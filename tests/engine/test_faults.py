"""Killed, out of space or with I/O errors at any system call: the workspace is all old or all new (edge case 16)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.transactions.backups import backup_ids
from dagster_module_builder.transactions.lock import locked
from dagster_module_builder.workspaces.add import add_module
from tests import needs
from tests.engine.driver import CRASHED, DONE, carry_out
from tests.engine.faults import FAULTS, Driver, Ended, pairs
from tests.engine.folders import FIRST_PORT, make_module, make_workspace, registry, services, shared, stamps, state

#: More calls than any command makes: a loop that gets here never ends.
MOST_CALLS = 500


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    needs.program("strace")
    with Driver(tmp_path_factory.mktemp("strace") / "log") as running:
        yield running


def before_add(root: Path) -> None:
    make_module(root, "other", FIRST_PORT + 1)
    add_module(root, "other")
    make_module(root, "seo")


def before_remove(root: Path) -> None:
    before_add(root)
    add_module(root, "seo")


def before_sync(root: Path) -> None:
    """One module to add, one to bring up to date, one to take out."""
    before_remove(root)
    make_module(root, "seo", FIRST_PORT + 2)
    make_module(root, "third", FIRST_PORT + 3)
    shutil.rmtree(root / settings.PROJECTS / "other")


PREPARED = {"add": before_add, "remove": before_remove, "sync": before_sync, "restore": before_remove}


def numbers(fault: str, calls: str) -> range:
    """Return the calls to be hit: each of those that change something, and of the many that read every third.

    The three faults begin at another of them each; with ENGINE_FAULTS=all every one is hit.
    """
    if calls not in {"open", "read"} or os.environ.get("ENGINE_FAULTS") == "all":
        return range(1, MOST_CALLS)
    return range(1 + list(FAULTS).index(fault), MOST_CALLS, 3)


def recovered(root: Path) -> None:
    """Recover, twice: the second time nothing is written, and nothing is left lying about."""
    with locked(root):
        pass
    found = stamps(root)
    with locked(root):
        pass
    assert stamps(root) == found
    assert not [name for name in found if name.endswith(".dagster-module-builder.tmp") and ".journal" not in name]


def examined(root: Path, ended: Ended, old: object, new: object) -> None:
    """See that a command that ended so left all old or all new, and that whoever comes next does, too."""
    assert ended.code != CRASHED, (root / "traceback.txt").read_text()
    recovered(root)
    now = state(root)
    assert now in (old, new)
    if ended.code == DONE:
        assert now == new
    elif ended.code > 0:
        assert now == old


@pytest.mark.parametrize(("fault", "calls"), pairs())
@pytest.mark.parametrize("name", PREPARED)
def test_case_16_whatever_fails_at_whichever_call_all_is_old_or_all_is_new(
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
    points = 0
    for number in numbers(fault, calls):
        root = shutil.copytree(start, tmp_path / "injured")
        ended = driver.run(command, root, fault, calls, number)
        examined(root, ended, old, new)
        shutil.rmtree(root)
        if not ended.injured:
            break
        points += 1
    assert not ended.injured
    assert ended.code == DONE
    record_property("points", points)


@pytest.mark.parametrize(("fault", "calls"), pairs())
@pytest.mark.parametrize("cut_off_at", [3, 5, 7])
def test_case_16_recovery_too_may_fail_at_any_call(
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
    points = 0
    for number in numbers(fault, calls):
        root = shutil.copytree(start, tmp_path / "injured")
        ended = driver.run(("recover", ""), root, fault, calls, number)
        assert ended.code != CRASHED, (root / "traceback.txt").read_text()
        recovered(root)
        assert state(root) == old
        shutil.rmtree(root)
        if not ended.injured:
            break
        points += 1
    assert not ended.injured
    record_property("points", points)


def test_case_16_a_commit_that_was_cut_off_after_its_last_file_is_finished(driver: Driver, tmp_path: Path) -> None:
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


def test_case_16_recovery_leaves_what_somebody_wrote_since(driver: Driver, tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws")
    before_add(root)
    old = shared(root)
    assert driver.run(("add", "seo"), root, "killed", "rename", 6).injured
    env = services(root) / ".env"
    env.write_bytes(env.read_bytes() + b"TYPED='1'\n")
    with locked(root) as messages:
        assert any(str(env) in message and "left as it is" in message for message in messages)
    assert env.read_bytes().endswith(b"TYPED='1'\n")
    assert {**shared(root), ".env": b""} == {**old, ".env": b""}


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"backup": "gone", "files": []}'])
def test_case_16_a_journal_that_cannot_be_followed_is_named_and_kept(text: bytes, tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws")
    before_add(root)
    journal = (root / settings.REGISTRY).with_name(".journal")
    journal.write_bytes(text)
    old = stamps(root)
    with pytest.raises(BuilderError, match=r"modules/\.journal"):
        add_module(root, "seo")
    assert stamps(root) == old
