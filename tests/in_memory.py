"""Folders of tests in memory: what is flushed to a disk thousands of times costs nothing there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")
#: What a test may need, in bytes; where there is less, it writes to the disk.
ROOM = 512 * 1024 * 1024


@pytest.fixture
def tmp_path(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Give a folder in memory, gone afterwards: a killed process loses nothing there that a disk would keep."""
    # An environment with Dagster is linked from uv's cache on the disk.
    if request.node.get_closest_marker("dagster") or not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < ROOM:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="dagster-module-builder-", dir=MEMORY) as folder:
        yield Path(folder)
