"""What a person sees in the browser: the modules' groups, a click that materializes, a run that turns green.

The screenshots are kept in ``artifacts/``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.dagster_web import await_that
from tests.e2e.stack import LOCATIONS, Stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.docker, pytest.mark.slow]

PAGE_MS = 180_000
RUN_MS = 180_000
LAUNCH_S = 60
WINDOW = {"width": 1440, "height": 900}


@pytest.fixture
def page(browser: Any, stack: Stack) -> Iterator[Any]:
    """Give a page of Dagster's, past the greeting of the first visit."""
    stack.dagster.await_locations(*LOCATIONS)
    opened = browser.new_page(viewport=WINDOW, base_url=stack.dagster.url)
    opened.set_default_timeout(PAGE_MS)
    opened.add_locator_handler(opened.get_by_role("button", name="Skip"), lambda skip: skip.click())
    yield opened
    opened.close()


def test_all_locations_are_shown_as_loaded(page: Any, artifacts: Path) -> None:
    page.goto("/deployment/locations")
    for location in LOCATIONS:
        page.get_by_role("link").filter(has_text=location).first.wait_for()
    page.get_by_text("Loaded").nth(len(LOCATIONS) - 1).wait_for()
    _keep(page, artifacts, "locations")


@pytest.mark.parametrize("location", LOCATIONS)
def test_a_modules_assets_are_shown_as_a_group(page: Any, artifacts: Path, location: str) -> None:
    _show_group(page, location)
    _keep(page, artifacts, f"{location}-assets")


def test_a_click_materializes_a_module(page: Any, stack: Stack, artifacts: Path) -> None:
    location = "sales_report"
    _show_group(page, location)
    known = {run.id for run in stack.dagster.runs()}
    page.get_by_role("button").filter(has_text="Materialize").first.click()
    launched = await_that(lambda: {run.id for run in stack.dagster.runs()} - known, LAUNCH_S, "the click's run")
    page.goto(f"/runs/{launched.pop()}")
    page.get_by_text("Success", exact=True).first.wait_for(timeout=RUN_MS)
    _keep(page, artifacts, f"{location}-run")
    _show_group(page, location)
    page.get_by_text("Materialized", exact=True).nth(2).wait_for()
    _keep(page, artifacts, f"{location}-materialized")


def _show_group(page: Any, location: str) -> None:
    page.goto(f"/locations/__repository__@{location}/asset-groups/{location}/lineage")
    for asset in ("raw", "cleaned", "summary"):
        page.get_by_text(asset, exact=True).first.wait_for()


def _keep(page: Any, artifacts: Path, name: str) -> None:
    skip = page.get_by_role("button", name="Skip")
    if skip.is_visible():
        skip.click()
        skip.wait_for(state="hidden")
    page.screenshot(path=artifacts / f"{name}.png")
