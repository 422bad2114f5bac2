"""Checks that need an environment with Dagster and the module's requirements."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dagster_module_builder.audit.audited_module import AuditedModule
from dagster_module_builder.audit.checks import Always, check
from dagster_module_builder.audit.lacks import no_tests
from dagster_module_builder.audit.results import Problem
from dagster_module_builder.audit.versions import requirements_of
from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.modules.dagster_check import Conflict, resolve_together
from dagster_module_builder.modules.loading import load
from dagster_module_builder.native.native_environment import process_environment
from dagster_module_builder.programs import outside_programs

#: Time limit of a module's tests, in seconds.
TESTS_TIMEOUT = 900


def loaded_definitions(audited: AuditedModule) -> Mapping[str, Any]:
    """Return the assets and resources that Dagster loads, or the ``problem``; loads once, in a separate process."""
    cached = audited.__dict__.get("_loaded_definitions")
    if cached is None:
        cached = audited.__dict__["_loaded_definitions"] = _load(audited)
    definitions: Mapping[str, Any] = cached
    return definitions


def _environment(audited: AuditedModule, own: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables for a process that runs a module's code without leaving files in its folder."""
    return {**process_environment(audited.root, own), "PYTHONDONTWRITEBYTECODE": "1"}


def _load(audited: AuditedModule) -> Mapping[str, Any]:
    environ = {**process_environment(audited.root), **audited.fragment_env}
    return load(audited.code_location, Path(str(audited.python)), audited.path, environ)


def _unloaded(audited: AuditedModule) -> str:
    return "it does not load" if "problem" in loaded_definitions(audited) else ""


def _no_assets(audited: AuditedModule) -> str:
    return _unloaded(audited) or ("" if loaded_definitions(audited)["assets"] else "no assets")


def _no_requirements(audited: AuditedModule) -> str:
    return "" if requirements_of(audited) else "it declares no requirements"


@check(
    "loads",
    "The definitions load",
    "The schedules of a location that does not load are gone.",
    Always("every module must load"),
    "environment",
)
def loads(audited: AuditedModule) -> Iterator[Problem]:
    """Import the definitions and let Dagster validate them."""
    if problem := loaded_definitions(audited).get("problem"):
        yield Problem(f"Dagster does not load it: {problem}", "Fix the module's code")


@check(
    "keys-loaded",
    "Every loaded asset key has the module's prefix",
    "Keys that a loader sets are visible only after loading.",
    _no_assets,
    "environment",
)
def keys_loaded(audited: AuditedModule) -> Iterator[Problem]:
    """Compare the first part of each asset key with the module's name."""
    foreign = ["/".join(key) for key in loaded_definitions(audited)["assets"] if key[0] != audited.names.snake]
    if foreign:
        shown = ", ".join(foreign[:3]) + (f" and {len(foreign) - 3} more" if foreign[3:] else "")
        yield Problem(f"Without the prefix {audited.names.snake}: {shown}", "Set their key_prefix", status="WARN")


@check(
    "io-manager-loaded",
    "Dagster uses the module's IO manager",
    "Another resource may be registered under its key.",
    _unloaded,
    "environment",
)
def io_manager_loaded(audited: AuditedModule) -> Iterator[Problem]:
    """Check that the loaded definitions have a resource ``io_manager``."""
    if "io_manager" not in loaded_definitions(audited)["resources"]:
        message = "No resource 'io_manager' after loading"
        adds = not audited.record and not audited.sources.io_managers
        yield audited.missing(message) if adds else Problem(message, "Register it in Definitions")


@check(
    "requirements",
    "Its requirements resolve",
    "An image that cannot be built affects every module in it.",
    _no_requirements,
    "environment",
)
def requirements(audited: AuditedModule) -> Iterator[Problem]:
    """Check with uv that the requirements resolve with the workspace's lock."""
    try:
        failure = resolve_together(audited.root, [audited.path])
    except ToolError as error:
        yield Problem(str(error), "Name the project in pyproject.toml", status="WARN")
        return
    if failure is not None:
        why = " ".join(failure.reason.split())[:300]
        yield Problem(
            f"Its requirements do not resolve with the workspace's: {why}",
            "Change them",
            status="FAIL" if isinstance(failure, Conflict) else "WARN",
        )


@check("tests-pass", "Its tests pass", "A failing test shows a broken module.", no_tests, "tests")
def tests_pass(audited: AuditedModule) -> Iterator[Problem]:
    """Run pytest in the module's folder."""
    # Without the settings of a pytest that runs this process.
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    result = outside_programs.ask(
        [str(audited.python), "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider"],
        named="pytest",
        answers=outside_programs.ANY,
        folder=audited.path,
        environ={**_environment(audited, own), "PYTHONPATH": str(audited.code_location.source)},
        errors=subprocess.STDOUT,
        limit=TESTS_TIMEOUT,
    )
    if result.status:
        output = result.out.decode("utf-8", "replace")
        failed = re.findall(r"^(?:FAILED|ERROR) (.*)$", output, re.MULTILINE)
        last = output.strip().splitlines()[-1:] or [outside_programs.ended(result.status)]
        for line in failed[:5] or last:
            yield Problem(f"A test failed: {line}", "Run pytest in the module's folder")
