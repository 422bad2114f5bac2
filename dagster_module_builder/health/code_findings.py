"""Problems that show when the modules' code is loaded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.claims.conflicts import Finding
from dagster_module_builder.native.native_definitions import NotLoaded, load_locations


def code_findings(root: Path) -> Iterator[Finding]:
    """Load every code location, and yield those that do not load and the assets that two modules make."""
    loaded = load_locations(root)
    yield from (_not_loading(root, failure) for failure in loaded.failures)
    yield from _shared_asset_keys(loaded.keys)
    for line in loaded.left_out:
        yield Finding("warning", line.rstrip("."), str(layout_of(root).workspace_file), "Load it where it runs")


def _not_loading(root: Path, failure: NotLoaded) -> Finding:
    fix = "Fix the module's code, and look again with 'workspace.validate --load'"
    where = failure.place or str(layout_of(root).workspace_file)
    subject = f"the location {failure.location}" if failure.location else "the workspace"
    message = f"{subject} does not load: {failure.error}"
    return Finding("error", message, where, fix, failure.module.name if failure.module else "")


def _shared_asset_keys(keys: Mapping[Path, Sequence[str]]) -> Iterator[Finding]:
    """Yield the assets that two modules make, which would overwrite each other's output."""
    makers: dict[str, list[Path]] = defaultdict(list)
    for module, asset_keys in keys.items():
        for key in asset_keys:
            makers[key].append(module)
    for key, modules in makers.items():
        if len(modules) > 1:
            names = " and ".join(module.name for module in modules)
            message = f"the asset {key} is made by {names}, which overwrite each other's output"
            where, last = str(modules[-1] / "src"), modules[-1].name
            yield Finding("error", message, where, "Prefix its key with the module's name", last)
