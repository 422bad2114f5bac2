"""What would make a module or its workspace better and is no problem: a schedule, a staging layer, limits of runs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from dagster_module_builder.audit.audited_module import AuditedModule
from dagster_module_builder.audit.syntax import SourceFile, last_name
from dagster_module_builder.shared_files.formats import dagster_yaml
from dagster_module_builder.workspaces.run_limits import lacking

#: What starts runs, by Dagster's names; and what collects definitions from files that are not seen here.
_STARTS = frozenset(
    {
        "ScheduleDefinition", "schedule", "build_schedule_from_partitioned_job", "SensorDefinition", "sensor",
        "asset_sensor", "multi_asset_sensor", "run_status_sensor", "AutomationConditionSensorDefinition",
        "AutomationCondition", "AutoMaterializePolicy",
    }
)  # fmt: skip
_COLLECTS = frozenset({"load_from_defs_folder", "load_defs", "build_defs_for_component"})
#: From so many assets on, a layer that takes a source over as it is pays.
_MANY = 5
#: Words by which teams name that layer.
_STAGING = re.compile(r"(?:^|[^a-z])(?:stag(?:ing|ed)|stg|raw|bronze|landing|source|ingest\w*|extract\w*)(?:$|[^a-z])")


def advice(audited: AuditedModule) -> Iterator[str]:
    """Yield what is worth doing next, where the code shows enough to say so; it does not count."""
    workspace = audited.workspace
    if workspace and (missing := lacking(workspace)):
        yield (
            f"Set {' and '.join(missing)} below 'run_monitoring' (enabled) in {workspace.path(dagster_yaml.NAME)}: a "
            "run that hangs never ends, and one that was killed keeps its places in pools"
        )
    yield from _of_assets(audited)


def _of_assets(audited: AuditedModule) -> Iterator[str]:
    files = audited.sources.files
    names = {name for file in files for name in _names(file)}
    assets = [(file, node) for file in files for node in file.functions if _asset_decorators(node)]
    if not assets or names & _COLLECTS:
        return
    if not names & _STARTS:
        yield "Add a schedule or an automation condition: nothing starts runs of its assets"
    if len(assets) >= _MANY and not any(_STAGING.search(word) for pair in assets for word in _words(*pair)):
        yield (
            f"Add a staging layer: {len(assets)} assets, none named as a copy of its source (staging, raw). "
            "What is made from such copies can be made again without the source"
        )


def _names(file: SourceFile) -> Iterator[str]:
    yield from file.decorators
    yield from (node.id for node in file.nodes_of(ast.Name))
    yield from (node.attr for node in file.nodes_of(ast.Attribute))


def _asset_decorators(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.expr]:
    return [decorator for decorator in node.decorator_list if last_name(decorator) in {"asset", "multi_asset"}]


def _words(file: SourceFile, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """Yield what an asset is named by: its function, its file and folders, and the texts of its decorator."""
    yield from (node.name.lower(), *(part.lower() for part in file.path.with_suffix("").parts[-3:]))
    for decorator in _asset_decorators(node):
        texts = (part.value for part in ast.walk(decorator) if isinstance(part, ast.Constant))
        yield from (text.lower() for text in texts if isinstance(text, str))
