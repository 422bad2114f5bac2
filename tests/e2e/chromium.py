"""A headless Chromium: the distribution's, driven by Playwright."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests import needs


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Give a headless Chromium: the distribution's, driven by Playwright."""
    chromium = needs.program("chromium")
    needs.module("playwright")
    playwright = importlib.import_module("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        # Chromium's sandbox does not work for root.
        opened = driver.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        yield opened
        opened.close()
