"""Which tests ``nox -s quick`` runs: all those that nothing here leaves out.

A new test is among them unless its folder, a fixture that it uses, or one of its markers is named here.
"""

from __future__ import annotations

import pytest

#: Folders of which every test needs root, Docker, Dagster, a user of its own, or minutes.
LONG_FOLDERS = ("e2e", "hostile", "mutation", "people")
#: Fixtures that start an sshd, an engine, a Dagster, or the program as a process.
LONG_FIXTURES = {
    "bare", "dagster_python", "driver", "engine", "engine_of_host", "host", "made", "quick", "quick_program", "site",
    "sites", "spoken", "spread", "terminal", "yard",
}  # fmt: skip
LONG_MARKERS = ("docker", "dagster", "matrix", "slow")


def is_quick(item: pytest.Item) -> bool:
    """Tell whether a test is for every commit."""
    folder = item.nodeid.split("/")[1]
    fixtures = LONG_FIXTURES.intersection(getattr(item, "fixturenames", ()))
    marked = any(item.get_closest_marker(name) for name in LONG_MARKERS)
    return folder not in LONG_FOLDERS and not fixtures and not marked
