from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.template.rendering import Desk

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path).prepared()


@pytest.fixture(scope="session")
def shared_desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A desk for tests that only read what they rendered, each under its own name."""
    return Desk(tmp_path_factory.mktemp("desk")).prepared()
