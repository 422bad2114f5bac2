"""An upgrade that is killed, or fails, at any change of the disk: afterwards the module is all old or all new."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.modules import unfinished
from dagster_module_builder.transactions.lock import locked
from dagster_module_builder.upgrade import ending, run
from dagster_module_builder.upgrade.rendering import Rendering

#: What Python announces before it changes the disk (https://docs.python.org/3/library/audit_events.html).
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "shutil.rmtree"}
#: A bound, should the counting be broken.
MANY = 400


#: Killed at each change, and at every second one the disk is full, or broken, in turn.
AT_EACH: tuple[tuple[int | None, ...], ...] = ((None,), (errno.ENOSPC, None), (None,), (errno.EIO, None))
#: How a process ends that was refused by this program, or met an unexpected error.
REFUSED, CRASHED = 10, 11
#: What the module has to be afterwards, by how the process ended: as before, as after, or either.
WHOLE: dict[int, Callable[..., tuple[object, ...]]] = {
    0: lambda _, after: (after,),
    REFUSED: lambda before, _: (before,),
    -signal.SIGKILL: lambda before, after: (before, after),
    CRASHED: lambda *_: (),
}


def injured_at(number: int, act: Callable[[], object], error: int | None) -> int:
    """Carry something out in a separate process, and return how it ended.

    Args:
        number: The change of the disk that it is killed before.
        act: What is carried out.
        error: The number of an error that this change ends with instead.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process == 0:
        seen = 0

        def count(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal seen
            writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if event in CHANGES or writes:
                seen += 1
                if seen == number and error is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                # The folder's own entries are hit one by one.
                if seen == number and error and event != "shutil.rmtree":
                    raise OSError(error, os.strerror(error), str(arguments[0]))

        sys.addaudithook(count)
        os._exit(ended(act))
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def ended(act: Callable[[], object]) -> int:
    try:
        act()
    except BuilderError:
        return REFUSED
    except BaseException:  # noqa: BLE001 - whatever it was, the test shows it
        traceback.print_exc()
        return CRASHED
    return 0


def contents(root: Path) -> dict[str, tuple[bytes, bool]]:
    """Return the bytes of a module's files, and of the state of its upgrade, and which can be executed."""
    files = [path for path in sorted((root / "projects/sales").rglob("*")) if path.is_file()]
    state = unfinished.path_of(root, "sales")
    return {
        str(path.relative_to(root)): (path.read_bytes(), os.access(path, os.X_OK))
        for path in [*files, *([state] if state.is_file() else [])]
    }


def all_or_nothing(root: Path, spare: Path, act: Callable[[], object]) -> int:
    """Kill an action at each of its changes of the disk, from the same beginning; return how many there are.

    Among them are kills inside the commit, which leave some files old and some new until the next command.
    """
    shutil.copytree(root, spare, symlinks=True)
    before = contents(root)
    act()
    after = contents(root)
    assert after != before
    states: set[bool] = set()
    torn: set[int] = set()
    for number in range(1, MANY):
        for error in AT_EACH[number % 4]:
            shutil.rmtree(root)
            shutil.copytree(spare, root, symlinks=True)
            status = injured_at(number, act, error)
            left = {name: content for name, content in contents(root).items() if not name.endswith(".tmp")}
            torn |= {number} if left not in (before, after) else set()
            with locked(root):
                pass
            found = contents(root)
            assert found in WHOLE[status](before, after), f"{status} at the change number {number}"
            states.add(found == after)
        if status == 0:
            break
    assert states == {True, False}
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    assert len(torn) >= len(changed) - 1 > 0
    return number


def edit_readme(module: Path) -> None:
    path = module / "README.md"
    path.write_text(path.read_text().replace("## Run it", "## How I run it"))


@pytest.mark.parametrize("with_conflict", [False, True])
def test_an_upgrade_is_whole_or_not_there(
    root: Path, module: Path, tmp_path: Path, fixed: Rendering, with_conflict: bool
) -> None:
    if with_conflict:
        edit_readme(module)
    assert all_or_nothing(root, tmp_path / "spare", lambda: run.upgrade(root, "sales")) > 20


@pytest.mark.parametrize("end", ["finish", "abort"])
def test_the_end_of_an_upgrade_is_whole_or_not_there(
    root: Path, module: Path, tmp_path: Path, fixed: Rendering, end: str
) -> None:
    edit_readme(module)
    run.upgrade(root, "sales")
    if end == "finish":
        (module / "README.md").write_text("resolved\n")
    assert all_or_nothing(root, tmp_path / "spare", lambda: getattr(ending, end)(root, "sales")) > 10
