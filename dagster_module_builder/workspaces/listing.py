"""The modules of a workspace: those in it, and those that only lie in its projects."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dagster_module_builder.modules.module import modules_in, record_of
from dagster_module_builder.transactions.registry import ModuleEntry
from dagster_module_builder.workspaces.workspace import look_at


@dataclass(frozen=True)
class Listed:
    """A module: in the workspace, or only in its projects; ``missing`` if its folder is gone."""

    name: str
    path: str
    integrated: bool
    missing: bool = False
    integrated_at: str | None = None
    database: str | None = None
    port: int | None = None
    template_version: str | None = None
    allowed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as data."""
        return asdict(self)


def listing(root: Path) -> list[Listed]:
    """Return the modules in the workspace and the others below ``projects/``, by name."""
    workspace = look_at(root)
    integrated = {entry.name: _integrated(root, entry) for entry in workspace.registry.entries}
    others = {path.name: _not_integrated(root, path) for path in modules_in(root)}
    return [module for _, module in sorted({**others, **integrated}.items())]


def _not_integrated(root: Path, path: Path) -> Listed:
    record = record_of(path)
    answers = record.get("answers")
    database = answers.get("database") if isinstance(answers, dict) else None
    return Listed(
        path.name,
        str(path.relative_to(root)),
        integrated=False,
        database=None if database == "none" else database,
        template_version=record.get("template_version"),
    )


def _integrated(root: Path, entry: ModuleEntry) -> Listed:
    database = entry.database or {}
    return Listed(
        entry.name,
        entry.path,
        integrated=True,
        missing=not (root / entry.path).is_dir(),
        integrated_at=entry.data.get("integrated_at"),
        database=database.get("type"),
        port=database.get("port"),
        template_version=entry.data.get("template_version"),
        allowed=entry.allowed,
    )
