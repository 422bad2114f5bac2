"""What only reads needs no right to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import needs
from tests.cli.deployed import DEPLOYMENT
from tests.cli.quick_program import QuickProgram, Result
from tests.cli.task_lines import without_tools
from tests.cli.terminal import OTHER_USER, Terminal, everything_in

LINES = (
    ["workspace.list"],
    ["workspace.list", "--json"],
    ["workspace.validate", "--no-check"],
    ["workspace.add", "other", "--dry-run", "--no-check"],
    ["workspace.remove", "sales", "--dry-run"],
    ["workspace.sync", "--dry-run", "--no-check"],
    ["workspace.sync", "--check", "--prune"],
    ["workspace.sync", "--repair", "--dry-run", "--no-check"],
    ["upgrade", "sales", "--dry-run"],
    ["audit", "sales"],
    ["deploy.list"],
    ["configure-deployment", "sales", "--no-input", *DEPLOYMENT],
)
#: Of those, what ends with 1 in any workspace, and why.
REFUSED = {
    "workspace.sync --check": "is not up to date. Run 'workspace.sync'",
    "configure-deployment": "yoda",
    "audit": "",
}


def assert_as_elsewhere(line: list[str], result: Result) -> None:
    refused = next((said for start, said in REFUSED.items() if " ".join(line).startswith(start)), None)
    assert result.code == (0 if refused is None else 1), (line, result)
    assert (refused or "") in result.text, (line, result)
    for word in ("Traceback", "should not have happened", "cannot be locked", "Read-only"):
        assert word not in result.text, (line, result)


def with_another(terminal: Terminal, name: str = "other") -> None:
    """Put a second module beside the first, which is in no workspace yet."""
    terminal.done("new", name, "--no-input", "--database=none", "--workspace=no")


@pytest.fixture(scope="module")
def read_only(reader: Terminal) -> Terminal:
    with_another(reader)
    for path in (reader.root / "projects/other").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (reader.root / "projects/other").chmod(0o755)
    return reader


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_reading_works_for_who_may_only_read(
    read_only: Terminal, quick_program: QuickProgram, tmp_path: Path, line: list[str]
) -> None:
    """FAULTS E11: on a read-only file system, and as another user."""
    needs.root()
    environ = without_tools(read_only, tmp_path)
    tmp_path.chmod(0o755)
    before = everything_in(read_only.root)
    mounted = quick_program.run(*line, environ=environ, folder=read_only.cwd, read_only=read_only.root)
    assert_as_elsewhere(line, mounted)
    other = quick_program.run(*line, environ=environ, folder=read_only.cwd, uid=OTHER_USER)
    assert_as_elsewhere(line, other)
    assert everything_in(read_only.root) == before


@pytest.mark.parametrize("line", [["workspace.backups"], ["workspace.restore", "BACKUP", "--dry-run"]], ids=" ".join)
def test_backups_are_for_their_owner_and_are_read_where_nothing_can_be_written(
    read_only: Terminal, quick_program: QuickProgram, line: list[str]
) -> None:
    """FAULTS E11: backups hold secrets, so only their owner reads them."""
    (backup,) = (path.name for path in (read_only.root / "services/dagster/modules/backups").iterdir())
    line = [word.replace("BACKUP", backup) for word in line]
    result = quick_program.run(*line, environ=read_only.environment, folder=read_only.cwd, read_only=read_only.root)
    assert result.code == 0, result
