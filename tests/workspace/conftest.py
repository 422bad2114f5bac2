"""A workspace with small modules in it, written here so that only what is tested can fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dagster_module_builder.workspaces.initialize import initialize

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty workspace."""
    folder = tmp_path / "ws"
    initialize(folder)
    return folder


@pytest.fixture(autouse=True)
def _private_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remember nothing from one run of the tests to the next; uv keeps its own cache."""
    monkeypatch.setattr(
        "dagster_module_builder.modules.dagster_check.cache_folder", lambda: tmp_path_factory.mktemp("cache")
    )
