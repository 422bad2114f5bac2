"""Modules come and go while Dagster runs: nothing restarts that need not, and data goes only when asked for."""

from __future__ import annotations

import pytest

from tests.e2e.dagster_web import await_that
from tests.e2e.stack import LOCATIONS, MODULES, Stack

pytestmark = [pytest.mark.docker, pytest.mark.slow]

OTHERS = {name: tuple(other for other in LOCATIONS if other != name.replace("-", "_")) for name in MODULES}

#: The daemon reads the workspace again once a minute.
DAEMON_S = 90


def test_a_module_leaves_without_a_restart(stack: Stack) -> None:
    stack.dagster.await_locations(*LOCATIONS)
    before = _shared_files(stack)
    webserver, daemon = stack.started_at("dagster_webserver"), stack.started_at("dagster_daemon")
    said = stack.command("workspace.remove", "weather")
    assert "Dagster removed the location weather." in said
    assert "Dagster's daemon was restarted, and has read the change." in said
    stack.dagster.await_locations(*OTHERS["weather"])
    assert stack.started_at("dagster_webserver") == webserver
    assert stack.started_at("dagster_daemon") != daemon
    said = stack.command("workspace.add", "weather")
    assert "Dagster loaded the location weather." in said
    assert "Run 'workspace.up'" in said
    stack.dagster.await_locations(*LOCATIONS)
    assert stack.started_at("dagster_webserver") == webserver
    assert _shared_files(stack) == before
    await_that(lambda: stack.dagster.unwell_daemons() == [], DAEMON_S, "all daemons well")
    stack.dagster.materialize("weather", within_s=DAEMON_S + 120)


def test_a_run_in_progress_survives_a_change(stack: Stack) -> None:
    stack.have_materialized("sales_report")
    with stack.locked_table("sales-report") as unlock:
        run = stack.dagster.launch("sales_report")
        await_that(lambda: stack.dagster.status(run) == "STARTED", 120, "the run started")
        daemon = stack.started_at("dagster_daemon")
        said = []
        for line in stack.lines("workspace.remove", "weather"):
            said.append(line)
            if line.startswith("Runs in progress: 1. Waiting"):
                unlock()
    assert stack.dagster.status(run) == "SUCCESS"
    assert "Dagster's daemon was restarted, and has read the change." in said, said
    assert stack.started_at("dagster_daemon") != daemon
    stack.command("workspace.add", "weather")
    stack.dagster.await_locations(*LOCATIONS)


def test_a_run_in_progress_survives_a_restart_of_its_containers(stack: Stack) -> None:
    """A changed image or definition restarts them: `up` waits for what runs in them."""
    stack.have_materialized("sales_report")
    stack.command("workspace.remove", "weather")
    with stack.locked_table("sales-report") as unlock:
        run = stack.dagster.launch("sales_report")
        await_that(lambda: stack.dagster.status(run) == "STARTED", 120, "the run started")
        said = []
        for line in stack.lines("workspace.up"):
            said.append(line)
            if line.startswith("Runs in progress: 1. Waiting until they end, since dagster_"):
                unlock()
    assert any(line.startswith("Runs in progress: 1.") for line in said), said
    stack.dagster.await_locations(*OTHERS["weather"])
    assert stack.dagster.status(run) == "SUCCESS"
    _bring_back(stack, "weather")


def test_data_outlives_a_module_until_it_is_deleted(stack: Stack) -> None:
    volume = f"{stack.project}_sales_report_db_data"
    stack.have_materialized("sales_report")
    stack.command("workspace.remove", "sales-report")
    stack.command("workspace.up", "--no-build")
    stack.dagster.await_locations(*OTHERS["sales-report"])
    assert "sales_report_db" not in stack.containers()
    assert volume in stack.volumes()

    _bring_back(stack, "sales-report")
    assert stack.table_rows("sales-report") == 6

    stack.command("workspace.remove", "sales-report", "--delete-data", "--yes")
    stack.dagster.await_locations(*OTHERS["sales-report"])
    assert volume not in stack.volumes()

    _bring_back(stack, "sales-report")
    assert stack.table_rows("sales-report") == 0


def test_deleting_data_needs_a_yes(stack: Stack) -> None:
    refused = stack.run("workspace.remove", "shop-stock", "--delete-data")
    assert refused.returncode == 1
    assert "--yes" in refused.stderr
    assert f"{stack.project}_shop_stock_db_data" in refused.stderr
    stack.dagster.await_locations(*LOCATIONS)


def _bring_back(stack: Stack, module: str) -> None:
    said = stack.command("workspace.add", module, "--up")
    assert f"Dagster loaded the location {module.replace('-', '_')}." in said
    assert "Run 'workspace.up'" not in said
    stack.dagster.await_locations(*LOCATIONS)


def _shared_files(stack: Stack) -> dict[str, list[str]]:
    """Return the shared files' lines without their order, since a module that comes back comes last."""
    names = ("workspace.yaml", ".env", "docker-compose.yml", "Dockerfile")
    return {name: sorted((stack.services / name).read_text().splitlines()) for name in names}
