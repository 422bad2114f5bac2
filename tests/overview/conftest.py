"""A browser that shows drawings."""

from __future__ import annotations

from tests.e2e.chromium import browser

__all__ = ["browser"]
