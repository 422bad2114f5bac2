"""Every task of the namespace on a machine that fails it: one line, the documented exit status, never a traceback."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dagster_module_builder.base import settings
from dagster_module_builder.commands import namespace
from tests import needs
from tests.cli.documented_exits import assert_documented
from tests.cli.quick_program import QuickProgram
from tests.cli.task_lines import line_of, without_tools
from tests.cli.terminal import OTHER_USER, Terminal, copied, terminal_in


def nothing(_: Path) -> None:
    """Leave the workspace as it is."""


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Return what edits the registry by hand."""

    def edit(root: Path) -> None:
        file = root / settings.REGISTRY
        data = json.loads(file.read_text())
        change(data)
        file.write_text(json.dumps(data))

    return edit


def not_json(root: Path) -> None:
    (root / settings.REGISTRY).write_text('{"integrated_modules": [')


def a_file(root: Path) -> None:
    shutil.rmtree(root)
    root.write_text("no folder")


def links_in_a_circle(root: Path) -> None:
    shutil.rmtree(root)
    root.symlink_to(root)


def no_folders_inside(root: Path) -> None:
    for name in ("services", "projects"):
        shutil.rmtree(root / name)
        (root / name).write_text("no folder")


def folders_for_files(root: Path) -> None:
    for name in ("workspace.yaml", ".env", "docker-compose.yml", "Dockerfile", "dagster.yaml"):
        path = root / settings.SERVICES / name
        path.unlink(missing_ok=True)
        path.mkdir()
    path = root / "projects/sales/pyproject.toml"
    path.unlink()
    path.mkdir()


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a machine.

    Attributes:
        given: What is typed, before the input ends.
        streams: Descriptors that are closed, or whose reader is gone.
        spoil: What is done to the workspace beforehand.
        read_only: Whether the workspace is on a file system that is mounted read-only.
        other: Whether everything belongs to another user.
    closed_home: Whether the home folder cannot be entered.
    """

    given: str = ""
    streams: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    spoil: Callable[[Path], None] = nothing
    read_only: bool = False
    other: bool = False
    closed_home: bool = False


TROUBLES = {
    "the input ends": Trouble(),
    "the input is no text": Trouble(given="\x1b[A\x00\n" * 3),
    "no input": Trouble(streams={"closed": (0,)}),
    "no output": Trouble(streams={"closed": (1,)}),
    "no errors": Trouble(streams={"closed": (2,)}),
    "no descriptors": Trouble(streams={"closed": (0, 1, 2)}),
    "the reader goes away": Trouble(streams={"deaf": (1,)}),
    "all readers go away": Trouble(streams={"deaf": (1, 2)}),
    "read-only": Trouble(read_only=True),
    "of another owner": Trouble(other=True),
    "a home that cannot be entered": Trouble(other=True, closed_home=True),
    "no workspace": Trouble(spoil=shutil.rmtree),
    "a file in its place": Trouble(spoil=a_file),
    "a link to itself in its place": Trouble(spoil=links_in_a_circle),
    "files in place of folders": Trouble(spoil=no_folders_inside),
    "folders in place of files": Trouble(spoil=folders_for_files),
    "a registry that is no JSON": Trouble(spoil=not_json),
    "a registry of something else": Trouble(spoil=lambda root: (root / settings.REGISTRY).write_text("[7]")),
    "an entry without its blocks": Trouble(spoil=edited(lambda data: data["integrated_modules"][0].pop("blocks"))),
    "an entry without its time": Trouble(spoil=edited(lambda data: data["integrated_modules"][0].pop("integrated_at"))),
    "an entry of another kind": Trouble(spoil=edited(lambda data: data["integrated_modules"].append(7))),
}


TASKS = sorted(namespace.task_names)
#: Each task meets one in so many troubles, and each trouble as many tasks; ``nox -s sweeps`` has every pair.
FAILED_ONCE = {("deploy.check", "no output"), ("deploy.check", "the reader goes away")}
ONE_IN = int(os.environ.get("TROUBLES_ONE_IN", "10"))
PAIRS = [
    pytest.param(task, name, id=f"{task}-{name}")
    for number, task in enumerate(TASKS)
    for turn, name in enumerate(TROUBLES)
    if (number + turn) % ONE_IN == 0 or (task, name) in FAILED_ONCE
]


@pytest.fixture(scope="module")
def spoiled(made_full: Terminal) -> Iterator[Callable[[str], Terminal]]:
    """Give the workspace of each kind of trouble, which all tasks share, whatever they do to it."""
    made: dict[str, Terminal] = {}

    def terminal(name: str) -> Terminal:
        if name not in made:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            made[name] = copied(made_full, terminal_in(folder))
            TROUBLES[name].spoil(made[name].root)
            folder.chmod(0o755)
            made[name].cwd.chmod(0o700 if TROUBLES[name].closed_home else 0o755)
        return made[name]

    with contextlib.ExitStack() as stack:
        yield terminal


@pytest.mark.parametrize(("task", "name"), PAIRS)
def test_no_task_ends_with_a_traceback(
    spoiled: Callable[[str], Terminal], quick_program: QuickProgram, tmp_path: Path, task: str, name: str
) -> None:
    """FAULTS E7: new tasks are tried without being named here."""
    trouble, terminal = TROUBLES[name], spoiled(name)
    options: dict[str, Any] = {**trouble.streams}
    if trouble.read_only or trouble.other:
        needs.root()
        options |= {"read_only": terminal.root} if trouble.read_only else {"uid": OTHER_USER}
    environ, folder = without_tools(terminal, tmp_path), terminal.root.parent
    result = quick_program.run(*line_of(task), environ=environ, folder=folder, given=trouble.given, **options)
    assert_documented(result, heard=2 not in (*options.get("closed", ()), *options.get("deaf", ())))
