"""An upgrade that is killed at any change of the disk: afterwards the module is all old or all new."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_module_builder.transaction import locked
from dagster_module_builder.upgrade import run, unfinished
from dagster_module_builder.upgrade.rendering import Rendering

#: What Python announces before it changes the disk (https://docs.python.org/3/library/audit_events.html).
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "shutil.rmtree"}
#: A bound, should the counting be broken.
MANY = 400


def killed_at(number: int, act: Callable[[], object]) -> bool:
    """Carry something out in a process of its own, killed before its N-th change of the disk; tell whether it was."""
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
                if seen == number:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        act()
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert status in {0, -signal.SIGKILL}
    return status != 0


def contents(root: Path) -> dict[str, bytes]:
    module = root / "projects/sales"
    found = {str(path.relative_to(root)): path.read_bytes() for path in sorted(module.rglob("*")) if path.is_file()}
    state = unfinished.place(root, "sales")
    return found | ({"state": state.read_bytes()} if state.is_file() else {})


def all_or_nothing(root: Path, spare: Path, act: Callable[[], object]) -> int:
    """Kill an action at each of its changes of the disk, from the same beginning; return how many there are."""
    shutil.copytree(root, spare, symlinks=True)
    before = contents(root)
    act()
    after = contents(root)
    assert after != before
    states = set()
    for number in range(1, MANY):
        shutil.rmtree(root)
        shutil.copytree(spare, root, symlinks=True)
        killed = killed_at(number, act)
        with locked(root):
            pass
        found = contents(root)
        assert found in (before, after), f"at the change number {number}"
        states.add(found == after)
        if not killed:
            break
    assert states == {True, False}
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
    assert all_or_nothing(root, tmp_path / "spare", lambda: getattr(run, end)(root, "sales")) > 10
