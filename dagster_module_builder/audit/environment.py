"""Checks that need an environment with Dagster and the module's requirements: loading, resolving, testing."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

from dagster_module_builder.audit import loaded
from dagster_module_builder.audit.audited_module import AuditedModule
from dagster_module_builder.audit.checks import Always, check
from dagster_module_builder.audit.lacks import no_tests
from dagster_module_builder.audit.results import Problem
from dagster_module_builder.audit.versions import requirements_of
from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.modules.dagster_check import Conflict, resolve_together
from dagster_module_builder.native.native_environment import process_environment
from dagster_module_builder.programs import outside_programs

#: How long the tests of a module may take, in seconds.
PATIENCE = 900


def look(audited: AuditedModule) -> Mapping[str, Any]:
    """Load the definitions in a process of their own, once, and return what Dagster sees or the ``problem``."""
    remembered = audited.__dict__.get("_looked")
    if remembered is None:
        remembered = audited.__dict__["_looked"] = _looked(audited)
    found: Mapping[str, Any] = remembered
    return found


def _leaving_nothing(audited: AuditedModule, own: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables of a process that runs a module's code and leaves nothing in its folder."""
    return {**process_environment(audited.root, own), "PYTHONDONTWRITEBYTECODE": "1"}


def _looked(audited: AuditedModule) -> Mapping[str, Any]:
    dotted = audited.code_location.dotted
    if dotted is None:
        return {"problem": "no file builds Definitions"}
    try:
        asked = outside_programs.ask(
            [str(audited.python), loaded.__file__],
            named="Loading the definitions",
            answers=outside_programs.ANY,
            stdin=json.dumps({"source": str(audited.code_location.source), "dotted": dotted}).encode(),
            folder=audited.path,
            environ={**_leaving_nothing(audited), **audited.fragment_env, "PYTHONWARNINGS": "ignore"},
        )
    except ToolError as error:
        return {"problem": str(error)}
    lines = asked.out.decode("utf-8", "replace").strip().splitlines()
    said = asked.words.splitlines()[-1:] or ["it ended without a word"]
    return dict(json.loads(lines[-1])) if lines else {"problem": said[0]}


def _unloaded(audited: AuditedModule) -> str:
    return "it does not load" if "problem" in look(audited) else ""


def _no_assets(audited: AuditedModule) -> str:
    return _unloaded(audited) or ("" if look(audited)["assets"] else "no assets")


def _no_requirements(audited: AuditedModule) -> str:
    return "" if requirements_of(audited) else "it states no requirements"


@check(
    "loads",
    "The definitions load",
    "A location that does not load takes its schedules with it.",
    Always("every module has to load"),
    "environment",
)
def loads(audited: AuditedModule) -> Iterator[Problem]:
    """Import the definitions and let Dagster validate them."""
    if problem := look(audited).get("problem"):
        yield Problem(f"Dagster does not load it: {problem}", "Fix the module's code")


@check(
    "keys-loaded",
    "Every loaded asset key has the module's prefix",
    "What a loader names is seen here only.",
    _no_assets,
    "environment",
)
def keys_loaded(audited: AuditedModule) -> Iterator[Problem]:
    """Compare the first part of each asset key with the module's name."""
    foreign = ["/".join(key) for key in look(audited)["assets"] if key[0] != audited.names.snake]
    if foreign:
        shown = ", ".join(foreign[:3]) + (f" and {len(foreign) - 3} more" if foreign[3:] else "")
        yield Problem(f"Without the prefix {audited.names.snake}: {shown}", "Give them a key_prefix", status="WARN")


@check(
    "io-manager-loaded",
    "Dagster uses the module's IO manager",
    "The key decides, and another may have won.",
    _unloaded,
    "environment",
)
def io_manager_loaded(audited: AuditedModule) -> Iterator[Problem]:
    """Look at what is registered as ``io_manager`` once all is loaded."""
    if "io_manager" not in look(audited)["resources"]:
        message = "No resource 'io_manager' once it is loaded"
        adds = not audited.record and not audited.sources.io_managers
        yield audited.missing(message) if adds else Problem(message, "Register it in Definitions")


@check(
    "requirements",
    "Its requirements resolve",
    "An image that cannot be built stops every module in it.",
    _no_requirements,
    "environment",
)
def requirements(audited: AuditedModule) -> Iterator[Problem]:
    """Ask uv whether the requirements fit the workspace's lock."""
    try:
        found = resolve_together(audited.root, [audited.path])
    except ToolError as error:
        yield Problem(str(error), "Name the project in pyproject.toml", status="WARN")
        return
    if found is not None:
        why = " ".join(found.reason.split())[:300]
        yield Problem(
            f"Its requirements do not resolve with the workspace's: {why}",
            "Change them",
            status="FAIL" if isinstance(found, Conflict) else "WARN",
        )


@check("tests-pass", "Its tests pass", "They were written to be run.", no_tests, "tests")
def tests_pass(audited: AuditedModule) -> Iterator[Problem]:
    """Run pytest in the module's folder."""
    # Nothing of this process's own pytest.
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    asked = outside_programs.ask(
        [str(audited.python), "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider"],
        named="pytest",
        answers=outside_programs.ANY,
        folder=audited.path,
        environ={**_leaving_nothing(audited, own), "PYTHONPATH": str(audited.code_location.source)},
        errors=subprocess.STDOUT,
        limit=PATIENCE,
    )
    if asked.status:
        said = asked.out.decode("utf-8", "replace")
        failed = re.findall(r"^(?:FAILED|ERROR) (.*)$", said, re.MULTILINE)
        last = said.strip().splitlines()[-1:] or [outside_programs.ended(asked.status)]
        for line in failed[:5] or last:
            yield Problem(f"A test does not pass: {line}", "Run pytest in the module's folder")
