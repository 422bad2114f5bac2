"""Draws the picture in the documentation again: ``python -m tests.overview.picture``."""

from __future__ import annotations

from pathlib import Path

from dagster_module_builder.overview.svg import svg
from tests.overview.graphs import documented

PICTURE = Path(__file__).parents[2] / "docs/images/workspace.svg"

if __name__ == "__main__":
    PICTURE.write_text(svg(documented()), "utf-8")
