"""Which tests ``nox -s quick`` runs: all those that nothing here leaves out.

A new test is among them unless its folder, one of its fixtures or markers, or a helper that its file imports is named.
"""

from __future__ import annotations

from types import ModuleType

import pytest

#: Folders of which tests need root, Docker, Dagster, Compose, a rendered template, or minutes.
LONG_FOLDERS = {"corpus", "e2e", "hostile", "mutation", "people", "site", "template"}
#: Fixtures that render a template, or start an sshd, an engine, a Dagster, or the program as a process.
LONG_FIXTURES = {
    "dagster_python", "desk", "driver", "engine", "engine_of_host", "made", "quick", "quick_program", "site", "spread",
    "terminal", "yard",
}  # fmt: skip
#: Imports that mean that a file's tests do so.
LONG_HELPERS = {
    "dagster_module_builder.deploy.configure", "dagster_module_builder.modules.dagster_check",
    "dagster_module_builder.templating.rendering", "dagster_module_builder.workspaces.initialize",
    "tests.cli.quick_program", "tests.cli.terminal", "tests.deploy.dagster_host", "tests.deploy.host_engine",
    "tests.deploy.host_process", "tests.deploy.hostile_host", "tests.deploy.pipeline_input", "tests.deploy.registry",
    "tests.deploy.repositories", "tests.deploy.sites", "tests.deploy.sshd", "tests.e2e.engine",
    "tests.engine.env_values", "tests.template.rendering",
}  # fmt: skip
LONG_MARKERS = ("docker", "dagster", "matrix", "slow")


def is_quick(item: pytest.Item) -> bool:
    """Tell whether a test is for every commit."""
    parts = item.nodeid.partition("::")[0].split("/")
    fixtures = LONG_FIXTURES.intersection(getattr(item, "fixturenames", ()))
    marked = any(item.get_closest_marker(name) for name in LONG_MARKERS)
    return not (LONG_FOLDERS.intersection(parts) or fixtures or marked or LONG_HELPERS & helpers(item))


def helpers(item: pytest.Item) -> set[str]:
    """Return the modules that a test's file has imported, or imported something from."""
    values = vars(getattr(item, "module", item)).values()
    return {
        value.__name__ if isinstance(value, ModuleType) else str(getattr(value, "__module__", "")) for value in values
    }
