"""Modules in containers: loaded, materialized, stored, scheduled, rebuilt."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from dagster_module_builder.health.loaded_code import is_mounted
from dagster_module_builder.native import native_environment
from dagster_module_builder.workspaces.workspace import read_workspace
from tests.e2e.dagster_web import await_that
from tests.e2e.stack import LOCATIONS, MODULES, SERVICES, Stack

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.docker, pytest.mark.slow]

SAMPLE = ("cleaned", "raw", "summary")
WITH_SERVER = [name for name, answers in MODULES.items() if answers["database"] != "none"]

#: A schedule is due within a minute, the daemon looks every few seconds, and a run takes its time.
TICK_S = 180


def _served_by(module: str) -> str:
    return "shop_stock_code" if module == "shop-stock" else "dagster_code"


def test_all_services_are_healthy(stack: Stack) -> None:
    containers = stack.containers()
    assert {name for name in SERVICES if containers[name].health != "healthy"} == set()
    assert containers["dagster_migrate"].exit_code == 0


def test_doctor_finds_nothing_wrong_with_a_stack_that_runs(stack: Stack) -> None:
    """The one that has done its only task, and the ports that are the stack's own, among it."""
    findings = json.loads(stack.command("doctor", "--json"))["findings"]
    docker = {each["text"]: each["state"] for each in findings if each["area"] == "docker"}
    assert docker == {
        "the engine answers, and Compose works": "ok", f"{len(stack.containers())} containers run": "ok",
    }  # fmt: skip
    assert [each["state"] for each in findings if each["area"] == "ports"] == ["ok"]


def test_all_locations_are_loaded(stack: Stack) -> None:
    stack.dagster.await_locations(*LOCATIONS)
    assert stack.dagster.assets() == [(location, asset) for location in LOCATIONS for asset in SAMPLE]


@pytest.mark.parametrize("module", MODULES)
def test_every_asset_is_materialized_and_stored(stack: Stack, module: str) -> None:
    location = module.replace("-", "_")
    stack.dagster.materialize(location)
    assert stack.stored_rows(_served_by(module), f"{location}/raw", f"{location}/summary") == [344, 6]
    if module in WITH_SERVER:
        assert stack.table_rows(module) == 6


def test_the_daemon_runs_a_schedule(stack: Stack) -> None:
    schedules = stack.root / "projects/sales-report/src/sales_report_dagster/schedules.py"
    original = schedules.read_text()
    schedules.write_text(original.replace('cron_schedule="0 6 * * *"', 'cron_schedule="* * * * *"'))
    assert schedules.read_text() != original
    try:
        stack.dagster.reload("sales_report")
        stack.dagster.await_locations(*LOCATIONS)
        stack.dagster.start_schedule("sales_report", "sales_report_daily")
        ticked = {"dagster/schedule_name": "sales_report_daily"}
        run = await_that(
            lambda: [run for run in stack.dagster.runs() if ticked.items() <= run.tags.items()], TICK_S, "a tick's run"
        )[-1]
        assert stack.dagster.await_end(run.id) == "SUCCESS", stack.dagster.log(run.id)
    finally:
        stack.dagster.stop_schedule("sales_report", "sales_report_daily")
        schedules.write_text(original)
        stack.dagster.reload("sales_report")


def test_outputs_and_tables_outlive_the_containers(stack: Stack) -> None:
    for location in LOCATIONS:
        stack.have_materialized(location)
    runs = {run.id for run in stack.dagster.runs()}
    stack.command("workspace.down", "--json")
    assert stack.containers() == {}
    assert json.loads(stack.command("workspace.up", "--no-build", "--json"))["address"]
    assert '"service": "dagster_daemon-1"' in stack.command("workspace.logs", "--json")
    stack.dagster.await_locations(*LOCATIONS)
    assert {run.id for run in stack.dagster.runs()} >= runs
    assert stack.stored_rows("dagster_code", *(f"{location}/summary" for location in LOCATIONS)) == [6, 6, 6]
    assert {module: stack.table_rows(module) for module in WITH_SERVER} == dict.fromkeys(WITH_SERVER, 6)


def test_images_hold_no_secret_and_no_code(stack: Stack) -> None:
    for image in stack.own_images().values():
        find = "find / -xdev -name .env -o -xdev -path '/workspace/*' -type f -o -xdev -name '*_dagster' -type d"
        found = stack.engine.docker("run", "--rm", "--network=none", "--user=0", image, "sh", "-c", find)
        assert found == "", image


def test_services_run_as_the_owner_of_the_workspace(stack: Stack) -> None:
    for service in ("dagster_webserver", "dagster_daemon", "shop_stock_code"):
        assert stack.shell(service, "id --user") == "1000"


def test_changed_code_runs_after_a_reload_and_rebuilds_nothing(stack: Stack) -> None:
    changed = {
        "weather": stack.root / "projects/weather/src/weather_dagster/assets.py",
        "shop_stock": stack.root / "projects/shop-stock/src/shop_stock_dagster/assets.py",
    }
    original = {location: file.read_text() for location, file in changed.items()}
    try:
        for location, file in changed.items():
            file.write_text(
                original[location].replace("return pd.read_csv(file)", "return pd.read_csv(file).head(100)")
            )
            stack.dagster.reload(location)
            stack.dagster.await_locations(*LOCATIONS)
            stack.dagster.materialize(location)
            assert stack.stored_rows(_served_by(location.replace("_", "-")), f"{location}/raw") == [100]
        built = stack.compose("build")
        assert "Using cache" in built
        assert re.search(r"Running in|Downloading|Installed \d+ packages", built) is None, built
    finally:
        for location, file in changed.items():
            file.write_text(original[location])
            stack.dagster.reload(location)


def test_which_code_a_container_sees_as_it_is_now(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS C10: code below a bind mount is loaded again by a reload; code that only an image has is not."""
    for name, value in stack.environ.items():
        monkeypatch.setenv(name, value)
    services = read_workspace(stack.root).code_services
    for location in native_environment.locations(stack.root):
        assert is_mounted(stack.root, location.module, location, services)
        assert not is_mounted(stack.root, stack.root.parent / "elsewhere", location, services)


def test_sizes_of_images_are_reported(stack: Stack, artifacts: Path) -> None:
    said = stack.command("workspace.up", "--no-build")
    sizes = dict(re.findall(r"^Image (\S+): (.+)$", said, re.MULTILINE))
    (artifacts / "image-sizes.txt").write_text("".join(f"{image} {size}\n" for image, size in sizes.items()))
    images = stack.own_images()
    assert set(sizes) == set(images.values())
    assert re.fullmatch(r"\d+ MB \(sales-report \+[\d.]+ MB, weather \+[\d.]+ MB\)", sizes[images["dagster"]])
    assert re.fullmatch(r"\d+ MB", sizes[images["code"]])
