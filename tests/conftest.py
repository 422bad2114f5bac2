"""What holds for all tests."""

from __future__ import annotations

import itertools
import os
import signal
import tempfile
from collections.abc import Iterator

import pytest

from tests.e2e import engine as engines
from tests.e2e import images
from tests.e2e.engine import Engine
from tests.quick import is_quick

# A shell starts what it puts in the background deaf to Ctrl-C, and children inherit that: the tests' programs have to
# hear it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Environments are made here in which each start of Dagster would compile it again: seconds, hundreds of times.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Nox makes its environment uv's: a test's `uv sync` in a project would replace all that the tests run from.
for _name in ("UV_PROJECT_ENVIRONMENT", "UV_PYTHON"):
    os.environ.pop(_name, None)


# What the program notes of its work, such as the workspaces that it made, is never noted among the user's.
_STATE = tempfile.TemporaryDirectory(prefix="dmb-state-")
_NUMBERS = itertools.count()
os.environ["XDG_STATE_HOME"] = _STATE.name


@pytest.fixture(autouse=True)
def _private_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test see the workspaces of another; the folder is made by what writes there first."""
    monkeypatch.setenv("XDG_STATE_HOME", f"{_STATE.name}/{next(_NUMBERS)}")


#: Groups of tests that take so long that they have to begin first, for their processes to end together.
LONGEST = ("first boots", "the stack")


#: What a test needs by the fixture that gives it: no module can forget the marker.
MARKERS = {"engine": "docker", "browser": "browser"}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what is for every commit, and let several processes share the tests with Docker.

    One has the running stack's; each other file is a group.

    As soon as a test is found: pytest-xdist reads the groups before any other plugin may modify what was collected.
    """
    fixtures = getattr(item, "fixturenames", ())
    for fixture, marker in MARKERS.items():
        if fixture in fixtures:
            item.add_marker(marker)
    if is_quick(item):
        item.add_marker(pytest.mark.quick)
    if item.get_closest_marker("docker") and not item.get_closest_marker("xdist_group"):
        group = "the stack" if "made_stack" in fixtures else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the longest groups first, and everything else as it was found."""
    items.sort(key=_begins)


def _begins(item: pytest.Item) -> int:
    marker = item.get_closest_marker("xdist_group")
    group = marker.args[0] if marker else None
    return LONGEST.index(group) if group in LONGEST else len(LONGEST)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Give a Docker Engine with Compose 2."""
    with engines.running() as running:
        yield running


@pytest.fixture(scope="session")
def image_names(engine: Engine) -> dict[str, str]:
    """Give the images of the stack by the variable that names each."""
    stack_images = images.stack()
    for image in stack_images.values():
        images.provide(engine, image)
    return {variable: image.name for variable, image in stack_images.items()}
