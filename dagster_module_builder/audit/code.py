"""Checks of the module's code, as its syntax trees show it."""

from __future__ import annotations

import ast
import platform
from collections.abc import Iterator

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from dagster_module_builder.audit.audited_module import AuditedModule
from dagster_module_builder.audit.checks import Always, check
from dagster_module_builder.audit.lacks import no_code, no_definitions
from dagster_module_builder.audit.results import Problem
from dagster_module_builder.audit.syntax import SourceFile, last_name
from dagster_module_builder.modules.code_location import table
from dagster_module_builder.modules.poetry_requirements import poetry_python

_LOADERS = (
    "load_assets_from_modules", "load_assets_from_current_module", "load_assets_from_package_module",
    "load_assets_from_package_name", "prefixed_with_key", "with_prefix",
)  # fmt: skip


@check(
    "syntax", "Every file is valid Python", "Dagster drops the whole location if one file cannot be parsed.", no_code
)
def syntax(audited: AuditedModule) -> Iterator[Problem]:
    """Find files that Python cannot parse."""
    newer = _wanted_python(audited)
    for file in audited.sources.files:
        if file.problem and newer:
            yield Problem(f"written for Python {newer}, which this program does not run on", status="SKIP")
        elif file.problem:
            where = audited.shown(file.path, file.problem.lineno)
            yield Problem(f"Not valid Python: {file.problem.msg}", "Fix that line", where)


def _wanted_python(audited: AuditedModule) -> str:
    """Return the versions of Python that a module requires, if the running one, which parses it, is not among them."""
    project = table(audited.pyproject, "project").get("requires-python")
    wanted = project or poetry_python(audited.pyproject)
    try:
        accepted = SpecifierSet(wanted if isinstance(wanted, str) else "")
    except InvalidSpecifier:
        return ""
    return "" if accepted.contains(platform.python_version(), prereleases=True) else str(wanted)


@check(
    "definitions",
    "Has definitions that Dagster loads",
    "Without definitions Dagster finds nothing in the module.",
    Always("every module needs definitions"),
)
def definitions(audited: AuditedModule) -> Iterator[Problem]:
    """Check that a file builds ``Definitions``."""
    if audited.code_location.definitions is None:
        yield Problem("No file builds Definitions", "Build dagster.Definitions in definitions.py")
    elif names := [str(location.dotted) for location in audited.code_locations[1:]]:
        message = f"Only one of its {len(names) + 1} code locations is the module; not {', '.join(names)}"
        fix = "Choose one with 'upgrade --location', and make separate modules of the others"
        yield Problem(message, fix, audited.shown(audited.code_location.definitions), "WARN")


@check(
    "resources-file",
    "Has resources.py",
    "Storage and connections are in the same file in every module.",
    no_definitions,
)
def resources_file(audited: AuditedModule) -> Iterator[Problem]:
    """Check that the package has ``resources.py``."""
    if not any(file.path.stem == "resources" or file.path.parent.name == "resources" for file in audited.sources.files):
        own = [node.name for _, node in audited.sources.io_managers]
        move = Problem("No resources.py", f"Move {', '.join(own)} into resources.py")
        yield move if own else audited.missing("No resources.py")


def _no_assets(audited: AuditedModule) -> str:
    files = audited.sources.files
    seen = (any(file.calls(*_LOADERS)) or any(map(_asset_decorators, file.functions)) for file in files)
    return "" if any(seen) else "no asset is visible without --load"


@check(
    "asset-keys",
    "Asset keys start with the module's name",
    "Then two modules never store to the same file.",
    _no_assets,
)
def asset_keys(audited: AuditedModule) -> Iterator[Problem]:
    """Find assets without a key prefix, either their own or one from the loader."""
    calls = [call for file in audited.sources.files for call in file.calls(*_LOADERS)]
    if any(keyword.arg == "key_prefix" for call in calls for keyword in call.keywords):
        return
    bare = [(file, node) for file in audited.sources.files for node in file.functions if _is_bare_asset(node)]
    for file, node in bare[:3]:
        name = getattr(node, "name", "")
        fix = f'Set key_prefix="{audited.names.snake}"'
        yield Problem(f"The asset {name} has no prefix", fix, audited.shown(file.path, node.lineno), "WARN")
    if bare[3:]:
        yield Problem(f"{len(bare) - 3} more assets have no prefix", status="WARN")


def _asset_decorators(node: ast.AST) -> list[ast.expr]:
    decorators = node.decorator_list if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else []
    return [decorator for decorator in decorators if last_name(decorator) == "asset"]


def _is_bare_asset(node: ast.AST) -> bool:
    decorators = _asset_decorators(node)
    keywords = {keyword.arg for call in decorators if isinstance(call, ast.Call) for keyword in call.keywords}
    return bool(decorators) and not keywords & {"key_prefix", "key", None}


#: The partitions by whose timezone a schedule of ``build_schedule_from_partitioned_job`` runs.
_IN_TIME = ("Hourly", "Daily", "Weekly", "Monthly", "TimeWindow")


@check(
    "schedule-timezones",
    "Schedules have a timezone",
    "Without a timezone a schedule runs in UTC, which the code does not show.",
    lambda audited: "" if any(_timed(audited)) else "no schedule",
)
def schedule_timezones(audited: AuditedModule) -> Iterator[Problem]:
    """Find schedules without ``execution_timezone``, and partitions that a schedule follows without ``timezone``."""
    for file, call, keyword in _timed(audited):
        if not {each.arg for each in call.keywords} & {keyword, None}:
            what = "A schedule has" if keyword == "execution_timezone" else "Partitions that a schedule follows have"
            fix = f'Set {keyword}="UTC", or the intended timezone'
            yield Problem(f"{what} no timezone", fix, audited.shown(file.path, call.lineno), "WARN")


def _timed(audited: AuditedModule) -> Iterator[tuple[SourceFile, ast.Call, str]]:
    """Yield what says when something runs, with the argument that says in which timezone."""
    files = audited.sources.files
    partitions = [f"{unit}PartitionsDefinition" for unit in _IN_TIME]
    follows = any(call for file in files for call in file.calls("build_schedule_from_partitioned_job"))
    for file in files:
        for call in file.calls("ScheduleDefinition", "schedule"):
            if call.args or any(keyword.arg in {"cron_schedule", None} for keyword in call.keywords):
                yield file, call, "execution_timezone"
        for call in file.calls(*partitions) if follows else ():
            yield file, call, "timezone"


@check(
    "tests",
    "Has tests",
    "A test shows that a change breaks an asset before a run does.",
    Always("every module can have tests"),
)
def tests(audited: AuditedModule) -> Iterator[Problem]:
    """Check that there are files with tests."""
    if not audited.tests:
        yield Problem("No tests", "Write tests/test_assets.py", status="WARN")
