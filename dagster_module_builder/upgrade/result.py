"""What an upgrade changed, or would change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dagster_module_builder.base import settings
from dagster_module_builder.transactions.plan import Plan


@dataclass(frozen=True)
class UpgradeResult:
    """What an upgrade changed, or would change with ``dry_run``.

    Attributes:
        module: The module's folder.
        plan: The changed files.
        conflicts: The files with conflicts to resolve.
        notes: Messages about the upgrade.
        backup: The backup's id.
        dry_run: Whether nothing was changed.
        behind: Why the module is not up to date even after the upgrade; empty if it is.
        by_hand: What the upgrade cannot do, with the lines to add.
        adds_only: Whether the upgrade only adds what the module lacks.
        proof: How it was proven that the definitions load as before; empty if it was not.
    """

    module: Path
    plan: Plan
    conflicts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    backup: str | None = None
    dry_run: bool = False
    behind: str = ""
    by_hand: tuple[str, ...] = ()
    adds_only: bool = False
    proof: str = ""

    @property
    def changes(self) -> bool:
        """Whether a file changes."""
        return bool(self.plan.effective)

    @property
    def changes_fragments(self) -> bool:
        """Whether a workspace fragment changes."""
        return any(change.path.is_relative_to(self.module / settings.FRAGMENTS) for change in self.plan.effective)
