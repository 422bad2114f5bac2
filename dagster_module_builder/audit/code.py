"""Checks of the module's code, as its syntax trees show it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from dagster_module_builder.audit.results import Problem
from dagster_module_builder.audit.subject import Subject
from dagster_module_builder.audit.syntax import SourceFile, last_name
from dagster_module_builder.audit.table import check

STORAGE = ("DAGSTER_STORAGE_DIR", "/tmp/dagster_storage")  # noqa: S108 - where the containers have their volume
_UPGRADE = "Run 'upgrade', which adds it"


@check("syntax", "Every file is valid Python", "Dagster drops a location whole when one file cannot be read.")
def syntax(subject: Subject) -> Iterator[Problem]:
    """Look for files that Python cannot read."""
    for file in subject.sources.files:
        if file.problem:
            where = subject.shown(file.path, file.problem.lineno)
            yield Problem(f"Not valid Python: {file.problem.msg}", "Mend that line", where)


@check("definitions", "Has definitions that Dagster loads", "Without them Dagster finds nothing in the module.")
def definitions(subject: Subject) -> Iterator[Problem]:
    """Look for what builds ``Definitions``."""
    if subject.layout.definitions is None:
        yield Problem("No file builds Definitions", "Build dagster.Definitions in definitions.py")


@check("resources-file", "Has resources.py", "Everybody finds storage and connections in the same place.")
def resources_file(subject: Subject) -> Iterator[Problem]:
    """Look for ``resources.py`` in the package."""
    if not any(file.path.stem == "resources" or file.path.parent.name == "resources" for file in subject.sources.files):
        yield Problem("No resources.py", _UPGRADE)


@check(
    "io-manager", "Has a custom IO manager", "Dagster's default writes where no volume is mounted, and outputs vanish."
)
def io_manager(subject: Subject) -> Iterator[Problem]:
    """Look for a class below one of Dagster's IO managers, or a function that makes one."""
    if not any(subject.sources.io_managers()):
        yield Problem("No custom IO manager", _UPGRADE)


@check(
    "storage-path", "The IO manager stores under DAGSTER_STORAGE_DIR", "That is where every container has the volume."
)
def storage_path(subject: Subject) -> Iterator[Problem]:
    """Look for the variable, or the volume's path, in the files that the IO manager is made or built in."""
    managers = list(subject.sources.io_managers())
    names = {node.name for _, node in managers}
    files = [
        file for file in subject.sources.files if any(file is one for one, _ in managers) or any(file.calls(*names))
    ]
    if managers and not any(_names_storage(subject, file) for file in files):
        file, node = managers[0]
        mend = f"Take its base path from {STORAGE[0]}, with {STORAGE[1]} as the default"
        yield Problem("The IO manager stores elsewhere", mend, subject.shown(file.path, node.lineno))


def _names_storage(subject: Subject, file: SourceFile) -> bool:
    # A docstring or a comment that names the variable stores nothing.
    statements = {id(node.value) for node in file.nodes if isinstance(node, ast.Expr)}
    expressions = (
        node for node in file.nodes if isinstance(node, (ast.Constant, ast.Name)) and id(node) not in statements
    )
    texts = (subject.sources.text(file, node) for node in expressions)
    return any(text.startswith(STORAGE) for text in texts if text)


@check(
    "io-manager-registered", "The IO manager is registered in Definitions", "Assets use it only when it is named there."
)
def io_manager_registered(subject: Subject) -> Iterator[Problem]:
    """Look for the key ``io_manager`` in the resources of ``Definitions``, through names and imports."""
    calls = [(file, call) for file in subject.sources.files for call in file.calls("Definitions", "with_resources")]
    given = [(file, keyword.value) for file, call in calls for keyword in call.keywords if keyword.arg == "resources"]
    given += [
        (file, call.args[1]) for file, call in calls if last_name(call.func) == "with_resources" and call.args[1:]
    ]
    found = [_has_key(subject, file, node) for file, node in given]
    if any(found) or subject.layout.definitions is None:
        return
    if None in found:
        yield Problem("What the resources of Definitions hold cannot be seen", "Give --load", status="SKIP")
    else:
        yield Problem("No resource 'io_manager' in Definitions", _UPGRADE, subject.shown(subject.layout.definitions))


def _has_key(subject: Subject, file: SourceFile, node: ast.expr, key: str = "io_manager") -> bool | None:
    """Tell whether an expression is a mapping with a key; None where it cannot be seen."""
    if isinstance(node, ast.Dict):
        found = [_item_has(subject, file, name, value, key) for name, value in zip(node.keys, node.values, strict=True)]
        return True if True in found else None if None in found else False
    if isinstance(node, ast.Call) and last_name(node) == "dict":
        return key in {keyword.arg for keyword in node.keywords} or None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        sides = [_has_key(subject, file, side, key) for side in (node.left, node.right)]
        return True if True in sides else None if None in sides else False
    if isinstance(node, ast.Name) and (value := subject.sources.value_of(file, node.id)):
        return _has_key(subject, *value, key) if value[1] is not node else None
    return None


def _item_has(subject: Subject, file: SourceFile, name: ast.expr | None, value: ast.expr, key: str) -> bool | None:
    if name is None:
        return _has_key(subject, file, value, key)
    return subject.sources.text(file, name) == key


@check("asset-keys", "Asset keys begin with the module's name", "Two modules never store to the same file then.")
def asset_keys(subject: Subject) -> Iterator[Problem]:
    """Look for assets without a prefix, neither their own nor one given when they are collected."""
    loaders = ("load_assets_from_modules", "load_assets_from_current_module", "load_assets_from_package_module",
               "load_assets_from_package_name", "prefixed_with_key", "with_prefix")  # fmt: skip
    calls = [call for file in subject.sources.files for call in file.calls(*loaders)]
    if any(keyword.arg == "key_prefix" for call in calls for keyword in call.keywords):
        return
    bare = [(file, node) for file in subject.sources.files for node in file.nodes if _is_bare_asset(node)]
    for file, node in bare[:3]:
        name = getattr(node, "name", "")
        mend = f'Give it key_prefix="{subject.names.snake}"'
        yield Problem(f"The asset {name} has no prefix", mend, subject.shown(file.path, node.lineno), "WARN")  # type: ignore[attr-defined]
    if bare[3:]:
        yield Problem(f"{len(bare) - 3} more assets have no prefix", status="WARN")


def _is_bare_asset(node: ast.AST) -> bool:
    decorators = node.decorator_list if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else []
    named = [decorator for decorator in decorators if last_name(decorator) == "asset"]
    given = {keyword.arg for one in named if isinstance(one, ast.Call) for keyword in one.keywords}
    return bool(named) and not given & {"key_prefix", "key", None}


@check(
    "schedule-timezones",
    "Schedules name their timezone",
    "Without one they run by UTC, and nobody sees it in the code.",
)
def schedule_timezones(subject: Subject) -> Iterator[Problem]:
    """Look for schedules without ``execution_timezone``."""
    for file in subject.sources.files:
        for call in file.calls("ScheduleDefinition", "schedule"):
            given = {keyword.arg for keyword in call.keywords}
            if not given & {"execution_timezone", None} and (given & {"cron_schedule"} or call.args):
                mend = 'Give it execution_timezone="UTC", or the one that is meant'
                yield Problem("A schedule without a timezone", mend, subject.shown(file.path, call.lineno), "WARN")


@check("tests", "Has tests", "A change that breaks an asset is seen before its run is.")
def tests(subject: Subject) -> Iterator[Problem]:
    """Look for files with tests."""
    if not subject.tests:
        yield Problem("No tests", "Write tests/test_assets.py", status="WARN")
