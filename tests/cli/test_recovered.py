"""What a crash left half done is undone by the next command, whichever it is, and that command says so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dagster_module_builder.transactions.plan import FileChange, Plan
from dagster_module_builder.transactions.transaction import commit
from tests.cli.quick_program import QuickProgram
from tests.engine.folders import make_module, make_workspace

ENVIRON = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
COMMANDS = (
    ["workspace.list"],
    ["workspace.list", "--json"],
    ["workspace.validate", "--no-check"],
    ["workspace.add", "seo", "--no-check"],
    ["workspace.add", "seo", "--no-check", "--dry-run"],
    ["workspace.sync", "--no-check"],
    ["audit", "seo"],
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_it_is_undone_and_said(quick_program: QuickProgram, tmp_path: Path, command: list[str]) -> None:
    root = make_workspace(tmp_path / "ws")
    make_module(root, "seo")
    (root / "file").write_bytes(b"old")
    if not (child := os.fork()):
        commit(root, Plan((FileChange(root / "file", b"old", b"new"),)), lambda: os._exit(0))
    os.waitpid(child, 0)
    assert (root / "file").read_bytes() == b"new"
    result = quick_program.run(*command, "--root", str(root), environ=ENVIRON, folder=tmp_path)
    assert result.err.count("An earlier command was cut off: workspace restored from backup.") == 1, result
    assert (root / "file").read_bytes() == b"old"
