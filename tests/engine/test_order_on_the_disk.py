"""What a commit has on the disk at each moment: seen in its system calls, and where two faults meet."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dagster_module_builder.base import settings
from tests import needs
from tests.engine.driver import DONE
from tests.engine.faults import CALLS, Driver
from tests.engine.folders import make_workspace, services, state
from tests.engine.injuries import before_add, recovered

CHANGING = ",".join(CALLS[kind] for kind in ("rename", "fsync", "unlink"))


@dataclass(frozen=True)
class Call:
    """A system call: ``rename``, ``fsync`` or ``unlink``, and the paths that it names."""

    name: str
    paths: tuple[Path, ...]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("strace") / "log"


@pytest.fixture(scope="module")
def driver(log: Path) -> Iterator[Driver]:
    needs.program("strace")
    with Driver(log) as running:
        yield running


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_workspace(tmp_path_factory.mktemp("start") / "ws")
    before_add(root)
    return root


@pytest.fixture
def root(start: Path, tmp_path: Path) -> Path:
    return shutil.copytree(start, tmp_path / "ws")


def calls_of_add(driver: Driver, log: Path, root: Path) -> list[Call]:
    assert driver.trace(("add", "seo"), root, CHANGING, ["-y"]).code == DONE
    done = [line for line in log.read_text().splitlines() if line.endswith(" = 0")]
    named = [(line.partition("(")[0], re.findall(r'"([^"]+)"|<(/[^>]+)>', line)) for line in done]
    return [
        Call(re.match(r"rename|fsync|unlink", name)[0], tuple(Path(quoted or opened) for quoted, opened in paths))  # type: ignore[index]
        for name, paths in named
    ]


def test_whatever_gets_its_name_is_flushed_before_and_its_folder_after(driver: Driver, log: Path, root: Path) -> None:
    """FAULTS B11: files, the backup and the journal; a machine that loses power has them all, or none of them."""
    calls = calls_of_add(driver, log, root)
    renames = [place for place, call in enumerate(calls) if call.name == "rename"]
    targets = [calls[place].paths[-1] for place in renames]
    journal = (root / settings.REGISTRY).with_name(".journal")
    assert targets[0].parent == root / settings.BACKUPS
    assert targets[1] == journal
    assert targets[-1] == root / settings.REGISTRY
    assert len(targets) == 2 + 5
    for place, target in zip(renames, targets, strict=True):
        staged = calls[place].paths[0]
        assert Call("fsync", (staged,)) in calls[:place]
        assert calls[place + 1] == Call("fsync", (target.parent,)), target


def test_the_backup_is_flushed_with_each_of_its_files(driver: Driver, log: Path, root: Path) -> None:
    """FAULTS B11: the folder gets its name when all that is in it cannot be lost any more."""
    calls = calls_of_add(driver, log, root)
    (at, rename), *_ = [(place, call) for place, call in enumerate(calls) if call.name == "rename"]
    staged, backup = rename.paths
    flushed = {call.paths[0].name for call in calls[:at] if call.name == "fsync" and call.paths[0].parent == staged}
    assert flushed == {path.name for path in backup.iterdir()}
    assert "backup.json" in flushed


def test_the_journal_is_gone_from_the_disk_when_the_command_ends(driver: Driver, log: Path, root: Path) -> None:
    """FAULTS B11: its folder is flushed, else a later crash would bring the journal of a finished command back."""
    calls = calls_of_add(driver, log, root)
    journal = (root / settings.REGISTRY).with_name(".journal")
    gone = calls.index(Call("unlink", (journal,)))
    assert calls[gone + 1] == Call("fsync", (journal.parent,))


def test_a_new_key_is_on_the_disk_before_anything_is_sealed_with_it(driver: Driver, log: Path, root: Path) -> None:
    """Without its key, the registry would know no block of ``.env`` again."""
    key = root / settings.KEY
    key.unlink()
    calls = calls_of_add(driver, log, root)
    (named,) = (place for place, call in enumerate(calls) if call.name == "rename" and call.paths[-1] == key)
    assert Call("fsync", (calls[named].paths[0],)) in calls[:named]
    assert calls[named + 1] == Call("fsync", (key.parent,))


@pytest.mark.parametrize("killed_at", [1, 2, 3, 4, 5])
def test_taking_back_a_whole_commit_may_be_cut_off_at_any_file(
    killed_at: int, driver: Driver, log: Path, root: Path, tmp_path: Path
) -> None:
    """FAULTS B11: the last file, which decides, was in place; it goes back first, else some would stay new."""
    old = state(root)
    whole = shutil.copytree(root, tmp_path / "whole")
    calls = calls_of_add(driver, log, whole)
    flushes = sum(call.name == "fsync" for call in calls)
    renames = sum(call.name == "rename" for call in calls)
    # The last flush but one is that of the folder into which the last file was put.
    faults = [
        *("-e", f"inject={CALLS['fsync']}:error=EIO:when={flushes - 1}"),
        *("-e", f"inject={CALLS['rename']}:signal=KILL:when={renames + killed_at}"),
    ]
    driver.trace(("add", "seo"), root, CHANGING, faults)
    assert (services(root) / "modules/.journal").exists()
    recovered(root)
    assert state(root) == (state(whole) if killed_at == 1 else old)
