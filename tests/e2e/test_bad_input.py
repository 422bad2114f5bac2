"""What goes wrong on a real stack fails with a message that names the variable or path, and the cure."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.e2e.dagster_web import await_that
from tests.e2e.stack import LOCATIONS, OWNER, Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.dagster_web import Dagster

pytestmark = [pytest.mark.docker, pytest.mark.slow]


def test_a_database_that_is_down_is_named(stack: Stack) -> None:
    stack.dagster.await_locations(*LOCATIONS)
    with _stopped(stack, "sales_report_db"):
        said = _failed_run(stack.dagster, "sales_report")
    assert "SALES_REPORT_DB_HOST" in said
    assert "docker compose up -d sales_report_db" in said


def test_a_database_that_comes_back_is_tried_again(stack: Stack) -> None:
    stack.dagster.await_locations(*LOCATIONS)
    with _stopped(stack, "shop_stock_db"):
        run = stack.dagster.launch("shop_stock")
        await_that(lambda: "requested a retry" in stack.dagster.log(run), 120, "the first try failed")
    said = stack.dagster.log(run)
    assert "SHOP_STOCK_DB_HOST" in said
    assert "docker compose up -d shop_stock_db" in said
    assert stack.dagster.await_end(run) == "SUCCESS", stack.dagster.log(run)


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
    _as_root(stack, f"mkdir -p {folder} && chown -R 0:0 {folder} && find {folder} -user 0 -exec chmod go-w {{}} +")
    try:
        said = _failed_run(stack.dagster, "weather")
    finally:
        _as_root(stack, f"rm -r {folder}")
        stack.dagster.reload("weather")
    assert folder in said
    assert "DAGSTER_STORAGE_DIR" in said


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


@contextlib.contextmanager
def _stopped(stack: Stack, service: str) -> Iterator[None]:
    stack.compose("stop", "--timeout", "2", service)
    try:
        yield
    finally:
        stack.compose("up", "--detach", "--wait", "--no-build", "--no-deps", service)


def _failed_run(dagster: Dagster, location: str) -> str:
    run = dagster.launch(location)
    assert dagster.await_end(run, within_s=240) == "FAILURE"
    return dagster.log(run)


def _as_root(stack: Stack, line: str) -> None:
    stack.compose("exec", "--no-TTY", "--user=0", "dagster_code", "sh", "-c", line)


def _materialized_alone(stack: Stack, module: str, storage: str) -> str:
    """Materialize a module in a separate container, without a workspace's variables, and return what was said.

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
