"""What a module's documents say to do with its database, done with the real ones, as it stands there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

import pytest

from tests.documents import Document, read
from tests.e2e.stack import Stack

pytestmark = pytest.mark.docker

#: Modules with a server.
MODULES = ("sales-report", "shop-stock")


@pytest.fixture(scope="module")
def documents(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, Document]]:
    """Return the documents of the modules; of one they are those that it would have at the highest level."""
    root = tmp_path_factory.mktemp("documents") / "workspace"
    stack.command("workspace.init", f"--root={root}")
    more = ["--database=postgresql", "--governance=enterprise", "--workspace=no", "--deployment=no", "--no-input"]
    stack.command("new", "sales-report", f"--root={root}", *more)
    folders = {"sales-report": root / "projects/sales-report", "shop-stock": stack.root / "projects/shop-stock"}
    return {name: {path.stem: read(path) for path in folder.glob("*.md")} for name, folder in folders.items()}


def follow(stack: Stack, command: str) -> subprocess.CompletedProcess[str]:
    """Type a command in the workspace's ``services/dagster``."""
    return subprocess.run(
        ["bash", "-c", command], cwd=stack.services, env={**os.environ, **stack.engine.environ, **stack.images},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def done(stack: Stack, command: str) -> None:
    result = follow(stack, command)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"


def query(stack: Stack, module: str, statement: str) -> None:
    """Have the module's server carry a statement out."""
    clients = {
        "sales-report": f'psql --username "$POSTGRES_USER" "$POSTGRES_DB" -c "{statement}"',
        "shop-stock": f'MYSQL_PWD=$MYSQL_PASSWORD mariadb --user="$MYSQL_USER" "$MYSQL_DATABASE" -e "{statement}"',
    }
    stack.shell(f"{module.replace('-', '_')}_db", clients[module])


@pytest.mark.parametrize("module", MODULES)
def test_a_database_is_saved_and_put_back_and_its_schema_applied_by_hand(
    stack: Stack, documents: Mapping[str, Mapping[str, Document]], module: str
) -> None:
    """FAULTS P14: ``psql`` put a dump back beside the rows that were there, and ended with 0."""
    stack.have_materialized(module.replace("-", "_"))
    rows = stack.table_rows(module)
    assert rows
    pages = documents[module]
    save, put_back = [line for block in pages["RUNBOOK"].section("Backing up and restoring the database").shell()
                      for line in block.commands()]  # fmt: skip
    try:
        done(stack, save)
        assert (stack.services / "saved.sql").stat().st_mode & 0o077 == 0
        # Into tables that have rows, and into those that have none.
        done(stack, put_back)
        assert stack.table_rows(module) == rows
        query(stack, module, "DELETE FROM penguin_summary")
        done(stack, put_back)
        assert stack.table_rows(module) == rows
        (apply,) = [block.commands()[0] for block in pages["TROUBLESHOOTING"].shell()]
        assert "already exists" in follow(stack, apply).stderr
        assert stack.table_rows(module) == rows
        query(stack, module, "DROP TABLE penguin_summary")
        done(stack, apply)
        assert stack.table_rows(module) == 0
        done(stack, put_back)
        assert stack.table_rows(module) == rows
    finally:
        (stack.services / "saved.sql").unlink(missing_ok=True)
