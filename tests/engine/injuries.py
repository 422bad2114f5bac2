"""Commands of the engine that a fault meets at one system call after the other, and what has to hold behind each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from dagster_module_builder.base import settings
from dagster_module_builder.transactions.lock import locked
from dagster_module_builder.workspaces.add import add_module
from tests.engine.driver import CRASHED, DONE
from tests.engine.faults import FAULTS, Driver, Ended
from tests.engine.folders import FIRST_PORT, make_module, stamps, state

#: More calls than any command makes: a loop that gets here never ends.
MOST_CALLS = 500


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


def hit_each(
    driver: Driver,
    command: tuple[str, str],
    fault: str,
    calls: str,
    which: Iterable[int],
    fresh: Callable[[], Path],
    examine: Callable[[Path, Ended], object],
) -> int:
    """Carry a command out with a fault at each of these system calls, until there are no more of them.

    Args:
        driver: What carries it out.
        command: The command and its argument.
        fault: What happens at the call.
        calls: Which kind of calls.
        which: Those of them that are hit, by number.
        fresh: Returns a workspace as it was before.
        examine: Looks at what is left.

    Returns:
        How many were hit.
    """
    for points, number in enumerate(which):
        root = fresh()
        ended = driver.run(command, root, fault, calls, number)
        examine(root, ended)
        if not ended.injured:
            assert ended.code == DONE
            return points
    raise AssertionError(f"{command} makes more calls than were looked at")


def copied(start: Path, root: Path) -> Path:
    """Have a folder hold what another one does, and nothing else."""
    shutil.rmtree(root, ignore_errors=True)
    return shutil.copytree(start, root)
