"""The modules of a workspace: those in it, and those that only lie in its projects."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.modules.module import modules_in, record_of
from dagster_module_builder.transactions.registry import ModuleEntry
from dagster_module_builder.workspaces.workspace import Workspace, look_at


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

    @property
    def state(self) -> str:
        """Its state in words: ``integrated``, ``not integrated`` or ``folder missing``."""
        return "folder missing" if self.missing else "integrated" if self.integrated else "not integrated"

    def to_json(self) -> dict[str, Any]:
        """Return it as data."""
        return asdict(self)


def listing(root: Path) -> list[Listed]:
    """Return the modules in the workspace and the others in its folders of modules, by name."""
    workspace = look_at(root)
    integrated = [_integrated(root, entry) for entry in workspace.registry.entries]
    others = [_not_integrated(root, path) for path in modules_in(root) if not _is_entry(workspace, root, path)]
    return sorted([*integrated, *others], key=lambda module: (module.name, module.path))


def _is_entry(workspace: Workspace, root: Path, path: Path) -> bool:
    entry = workspace.registry.find(path.name)
    return entry is not None and (root / entry.path == path or not (root / entry.path).is_dir())


def _not_integrated(root: Path, path: Path) -> Listed:
    record = record_of(path)
    return Listed(
        path.name,
        str(path.relative_to(root)),
        integrated=False,
        database=_answered_database(record),
        template_version=record.get("template_version"),
    )


def _recorded_database(path: Path) -> str | None:
    """Return an integrated module's database, where the registry, which has only those with a server, has none."""
    # Listing does not fail for what has happened to a module's folder since.
    with contextlib.suppress(BuilderError):
        return _answered_database(record_of(path))
    return None


def _answered_database(record: Mapping[str, Any]) -> str | None:
    """Return the database that the template was asked for."""
    answers = record.get("answers")
    database = answers.get("database") if isinstance(answers, dict) else None
    return None if database == "none" else database


def _integrated(root: Path, entry: ModuleEntry) -> Listed:
    database = entry.database or {}
    return Listed(
        entry.name,
        entry.path,
        integrated=True,
        missing=not (root / entry.path).is_dir(),
        integrated_at=entry.data.get("integrated_at"),
        database=database.get("type") or _recorded_database(root / entry.path),
        port=database.get("port"),
        template_version=entry.data.get("template_version"),
        allowed=entry.allowed,
    )
