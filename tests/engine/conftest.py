"""The engine's tests commit thousands of times: they do so in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import needs
from tests.engine.faults import Driver
from tests.in_memory import tmp_path

__all__ = ["tmp_path"]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    needs.program("strace")
    with Driver(tmp_path_factory.mktemp("strace") / "log") as running:
        yield running
