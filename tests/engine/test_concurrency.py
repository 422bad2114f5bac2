"""Many commands at once: each of them happens, as if they had come one after the other."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from dagster_module_builder.health import validate
from dagster_module_builder.workspaces import sync
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.remove import remove_module
from tests.engine.folders import FIRST_PORT, make_module, make_workspace, registry, shared

PROCESSES = 32
NAMES = [f"module-{number:02}" for number in range(PROCESSES)]

CODE = """
import pathlib, sys
from dagster_module_builder.workspaces import sync
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.remove import remove_module
root, command, name = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
sys.stdin.read()  # all begin at once
{"add": add_module, "remove": remove_module, "sync": lambda root, _: sync.sync(root)}[command](root, name)
"""


def at_once(root: Path, commands: Sequence[tuple[str, str]]) -> None:
    """Carry out commands, each in a separate process, and see that all succeed."""
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    gate_out, gate_in = os.pipe()
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CODE, str(root), *command],
            env=environ,
            stdin=gate_out,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    os.close(gate_out)
    os.close(gate_in)
    ended = [(process.communicate(timeout=120)[1], process.returncode) for process in started]
    assert {code for _, code in ended} == {0}, [said for said, code in ended if code]


def straight(root: Path, names: Sequence[str]) -> Path:
    """Return a workspace with the same modules, put in one after the other."""
    make_workspace(root)
    for name in names:
        make_module(root, name, FIRST_PORT + NAMES.index(name))
        add_module(root, name)
    return root


@pytest.mark.slow
def test_thirty_two_modules_added_at_once_are_all_in(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws")
    for number, name in enumerate(NAMES):
        make_module(root, name, FIRST_PORT + number)
    at_once(root, [("add", name) for name in NAMES])
    expected = straight(tmp_path / "straight", NAMES)
    assert shared(root) == shared(expected)
    assert registry(root) == registry(expected)
    assert [finding for finding in validate.validate(root, check=False) if finding.severity == "error"] == []
    for name in reversed(NAMES):
        remove_module(root, name)
    assert shared(root) == shared(make_workspace(tmp_path / "empty"))


@pytest.mark.slow
def test_adds_removals_and_syncs_at_once_lose_nothing(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws")
    leaving, coming = NAMES[:6], NAMES[6:12]
    for name in leaving:
        make_module(root, name, FIRST_PORT + NAMES.index(name))
    sync.sync(root)
    for name in coming:
        make_module(root, name, FIRST_PORT + NAMES.index(name))
    at_once(root, [*(("add", name) for name in coming), *(("remove", name) for name in leaving)])
    expected = straight(tmp_path / "straight", coming)
    assert shared(root) == shared(expected)
    at_once(root, [("sync", "")] * 4)
    assert shared(root) == shared(straight(tmp_path / "all", NAMES[:12]))
