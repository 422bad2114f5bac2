"""What goes wrong on a real stack fails with a message that names the variable or path, and the cure."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.e2e.stack import LOCATIONS, OWNER, Stack

if TYPE_CHECKING:
    from tests.e2e.dagster_web import Dagster

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@pytest.mark.parametrize(
    ("location", "prefix"), [("sales_report", "SALES_REPORT_DB_"), ("shop_stock", "SHOP_STOCK_DB_")]
)
def test_a_database_that_is_down_is_named(stack: Stack, location: str, prefix: str) -> None:
    stack.dagster.await_locations(*LOCATIONS)
    stack.compose("stop", f"{location}_db")
    try:
        said = _failed_run(stack.dagster, location)
    finally:
        stack.compose("start", f"{location}_db")
        stack.command("workspace.up", "--no-build")
    assert f"{prefix}HOST" in said
    assert f"docker compose up -d {location}_db" in said


def test_a_wrong_password_is_named(stack: Stack) -> None:
    stack.dagster.await_locations(*LOCATIONS)
    statement = "ALTER USER CURRENT_USER PASSWORD 'another'"
    client = 'psql --username="$POSTGRES_USER" --dbname="$POSTGRES_DB"'
    stack.shell("sales_report_db", f'{client} -c "{statement}"')
    try:
        said = _failed_run(stack.dagster, "sales_report")
    finally:
        stack.shell("sales_report_db", f"{client} -c \"ALTER USER CURRENT_USER PASSWORD '$POSTGRES_PASSWORD'\"")
    assert "SALES_REPORT_DB_PASSWORD" in said
    assert "another" not in said


def test_a_storage_that_cannot_be_written_is_named(stack: Stack) -> None:
    stack.dagster.await_locations(*LOCATIONS)
    folder = "/tmp/dagster_storage/weather"
    _as_root(stack, f"mkdir -p {folder} && chown -R 0:0 {folder} && chmod -R 755 {folder}")
    try:
        said = _failed_run(stack.dagster, "weather")
    finally:
        _as_root(stack, f"chown -R 1000:1000 {folder}")
    assert folder in said
    assert "DAGSTER_STORAGE_DIR" in said


def test_a_port_that_is_taken_is_named(stack: Stack) -> None:
    stack.command("workspace.down")
    with socket.socket() as other:
        # Connections to the webserver that was there linger.
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", stack.port))
        other.listen()
        refused = stack.run("workspace.up", "--no-build")
    assert refused.returncode == 1
    assert str(stack.port) in refused.stderr
    assert "Traceback" not in refused.stderr
    stack.command("workspace.up", "--no-build")
    stack.dagster.await_locations(*LOCATIONS)


def test_a_missing_variable_is_named(stack: Stack) -> None:
    said = _materialized_alone(stack, "sales-report", storage="size=64m")
    assert "SALES_REPORT_DB_PORT is not set" in said
    assert ".env" in said
    assert "teardown_after_execution" not in said


def test_a_full_volume_is_named_and_keeps_nothing_half_written(stack: Stack) -> None:
    said = _materialized_alone(stack, "weather", storage="size=16k")
    assert "No space left on device" in said
    assert "/tmp/dagster_storage/weather" in said
    assert "DAGSTER_STORAGE_DIR" in said
    assert "stored: []" in said


def _failed_run(dagster: Dagster, location: str) -> str:
    run = dagster.launch(location)
    assert dagster.await_end(run, within_s=240) == "FAILURE"
    return dagster.log(run)


def _as_root(stack: Stack, line: str) -> None:
    stack.compose("exec", "--no-TTY", "--user=0", "dagster_daemon", "sh", "-c", line)


def _materialized_alone(stack: Stack, module: str, storage: str) -> str:
    """Materialize a module in a container of its own, without a workspace's variables, and return what was said.

    Args:
        stack: Whose image and code are used.
        module: Whose assets.
        storage: The options of the file system in memory that stands in for the volume.
    """
    snake = module.replace("-", "_")
    materialize = f"dagster asset materialize --select '*' --module-name {snake}_dagster.definitions"
    # Files of the folder, hidden ones too: a temporary one that stays is half-written.
    stored = f"echo stored: [$(find /tmp/dagster_storage/{snake} -type f 2>/dev/null)]"
    return stack.engine.docker(
        "run", "--rm", "--network=none", f"--user={OWNER}", f"--volume={stack.root}/projects:/workspace/projects:ro",
        f"--tmpfs=/tmp/dagster_storage:mode=1777,{storage}", "--tmpfs=/tmp/home:mode=1777",
        "--env=DAGSTER_HOME=/tmp/home", "--env=HOME=/tmp/home", "--env=DAGSTER_STORAGE_DIR=/tmp/dagster_storage",
        f"{stack.project}-dagster", "sh", "-c", f"cd /tmp/home && ! {materialize} 2>&1 && {stored}",
    )  # fmt: skip
