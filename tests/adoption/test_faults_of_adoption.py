"""Killed, out of space or with I/O errors at any system call: an adoption changes all commands or none, both ways."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dagster_module_builder.base.layout import FILE
from dagster_module_builder.transactions.lock import locked
from dagster_module_builder.transactions.synced_files import TEMPORARY
from dagster_module_builder.workspaces.adopt import adopt, look_through
from dagster_module_builder.workspaces.release import release
from tests import needs
from tests.adoption.adopted import bytes_of, laid_out
from tests.adoption.cases import CASES, Case
from tests.engine.driver import CRASHED, DONE
from tests.engine.faults import Driver, Ended
from tests.engine.injuries import copied, hit_each, numbers

#: A case in which files change, one is made, and a folder for it.
CASE = Case(CASES / "module-behind-an-entrypoint")
CALLS = ("rename", "write", "fsync", "unlink", "mkdir")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    needs.program("strace")
    with Driver(tmp_path_factory.mktemp("strace") / "log") as running:
        yield running


def adopt_again(root: Path) -> None:
    adopt(look_through(root, write_workspace_file=True))


def owners(root: Path) -> dict[str, bytes]:
    """Return the owner's files, once what was cut off is recovered."""
    if (root / FILE).exists():
        with locked(root):
            pass
    # What a killed process was about to rename; the next one does.
    own = (FILE, FILE + TEMPORARY)
    return {name: text for name, text in bytes_of(root).items() if name not in own}


@pytest.mark.parametrize("fault", ["killed", "disk full", "i/o error"])
@pytest.mark.parametrize("calls", CALLS)
def test_an_adoption_is_whole_or_was_not(fault: str, calls: str, driver: Driver, tmp_path: Path) -> None:
    start = laid_out(CASE, tmp_path / "start")
    old = bytes_of(start)
    whole = copied(start, tmp_path / "whole")
    adopt_again(whole)
    new = owners(whole)

    def examine(root: Path, ended: Ended) -> None:
        assert ended.code != CRASHED, (root / "traceback.txt").read_text()
        now = owners(root)
        assert now in (old, new)
        assert ended.code != DONE or now == new
        assert not ended.code > 0 or bytes_of(root) == old
        if now == old:
            adopt_again(root)
        assert owners(root) == new
        release(root)
        assert bytes_of(root) == old

    root = tmp_path / "injured"
    hit_each(driver, ("adopt", ""), fault, calls, numbers(fault, calls), lambda: copied(start, root), examine)


@pytest.mark.parametrize("fault", ["killed", "disk full", "i/o error"])
@pytest.mark.parametrize("calls", CALLS)
def test_an_end_of_an_adoption_can_be_done_again(fault: str, calls: str, driver: Driver, tmp_path: Path) -> None:
    start = laid_out(CASE, tmp_path / "start")
    old = bytes_of(start)
    adopt_again(start)
    new = owners(start)

    def examine(root: Path, ended: Ended) -> None:
        assert ended.code != CRASHED, (root / "traceback.txt").read_text()
        assert owners(root) in (old, new)
        if (root / FILE).exists():
            release(root)
        assert bytes_of(root) == old

    root = tmp_path / "injured"
    hit_each(driver, ("release", ""), fault, calls, numbers(fault, calls), lambda: copied(start, root), examine)
