"""Any fault at any system call of a switch, on a host with several file systems: all is old, or all is new."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import needs
from tests.deploy import spread
from tests.deploy.host_driver import MODULE, NEW, OLD, env, workspace
from tests.deploy.quick_dagster import QuickDagster
from tests.engine.driver import CRASHED, DONE
from tests.engine.faults import Driver, Ended, pairs

#: More calls than a switch makes.
MOST_CALLS = 600
#: Of so many calls one is hit; with DEPLOY_FAULTS=all every one.
STEP = 1 if os.environ.get("DEPLOY_FAULTS") == "all" else 5
#: Of the calls that only look, even fewer.
RARE = {"open": 4, "read": 4}


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    needs.program("strace")
    with Driver(tmp_path_factory.mktemp("strace") / "log", "tests.deploy.host_driver") as running:
        yield running


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("host") / "srv"
    made.mkdir()
    with spread.file_systems(made):
        yield made


@pytest.fixture
def dagster(base: Path) -> Iterator[QuickDagster]:
    stand_in = QuickDagster(base)
    yield stand_in
    stand_in.stop()


def numbers(fault: str, calls: str) -> range:
    step = STEP if STEP == 1 else STEP * RARE.get(calls, 1)
    return range(1 + pairs().index((fault, calls)) % step, MOST_CALLS, step)


def state(base: Path) -> tuple[bytes, bytes, bool, str]:
    there = base / "modules" / MODULE
    current = (there / "current").readlink().name
    kept = (there / "releases" / NEW).is_dir()
    return (base / "workspace.yaml").read_bytes(), (base / ".env").read_bytes(), kept, current


def leftovers(base: Path) -> list[str]:
    found = [path for folder in (base, base / "modules", *spread_folders(base)) for path in folder.iterdir()]
    found += (base / "modules" / MODULE).iterdir()
    return [str(path) for path in found if ".deploy." in path.name or path.name.startswith(".journal")]


def spread_folders(base: Path) -> list[Path]:
    return [(base / name).resolve().parent for name in ("workspace.yaml", ".env")]


def examined(base: Path, ended: Ended) -> None:
    old = (workspace(base, OLD), env(OLD), False, OLD)
    new = (workspace(base, NEW), env(NEW), True, NEW)
    assert state(base) in (old, new)
    if ended.code == DONE:
        assert state(base) == new
    elif ended.code > 0:
        assert state(base) == old
    assert leftovers(base) == []
    assert all((base / name).is_symlink() for name in ("workspace.yaml", ".env"))


@pytest.mark.parametrize(("fault", "calls"), pairs())
def test_a_fault_at_any_call_leaves_all_old_or_all_new(
    fault: str,
    calls: str,
    base: Path,
    dagster: QuickDagster,
    driver: Driver,
    record_property: Callable[[str, object], None],
) -> None:
    """FAULTS B1: undo works wherever links and mounts lead."""
    points = 0
    for number in numbers(fault, calls):
        spread.empty(base)
        spread.fill(base)
        ended = driver.run(("switch", dagster.url), base, fault, calls, number)
        assert ended.code != CRASHED, (base / "traceback.txt").read_text()
        again = driver.trace(("recover", dagster.url), base, "none")
        assert again.code == DONE
        examined(base, ended)
        points += ended.injured
        if not ended.injured:
            break
    assert not ended.injured
    assert ended.code == DONE
    record_property("points", points)
