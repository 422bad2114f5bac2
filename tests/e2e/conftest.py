"""One running stack, shared by all tests of a session: each leaves it as it found it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

from tests.e2e.chromium import browser
from tests.e2e.engine import cache
from tests.e2e.stack import Stack
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.engine import Engine

__all__ = ["browser"]

ARTIFACTS = Path(__file__).parents[2] / "artifacts"


@pytest.fixture(scope="session")
def made_stack(
    engine: Engine, image_names: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Give a workspace with its three modules, whose containers are not there yet."""
    folder = tmp_path_factory.mktemp("e2e")
    root = folder / f"dmb-e2e-{free_port()}"
    stack = Stack(root, engine, image_names, free_port())
    stack.make()
    # Two stacks that are made at once have most layers in common: one builds them, and the other finds them.
    with FileLock(cache() / "layers.lock"):
        stack.compose("build")
    yield stack
    stack.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")
    stack.leave_layers()


@pytest.fixture(scope="session")
def stack(made_stack: Stack) -> Stack:
    """Give the workspace, up and with all locations loaded."""
    made_stack.command("workspace.up")
    return made_stack


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Give the folder of what a run leaves for people: screenshots, sizes, times."""
    ARTIFACTS.mkdir(exist_ok=True)
    return ARTIFACTS
