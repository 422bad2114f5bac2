"""The files by which commands stay out of each other's way: lock, journal, backups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dagster_module_builder.base import settings


@dataclass(frozen=True)
class ControlFiles:
    """Paths of a workspace's lock, journal, key and backups.

    Attributes:
        root: The workspace's root.
    """

    root: Path

    @property
    def modules(self) -> Path:
        """The folder of the registry."""
        return (self.root / settings.REGISTRY).parent

    @property
    def lock(self) -> Path:
        """The lock file."""
        return self.modules / ".lock"

    @property
    def holder(self) -> Path:
        """Who holds the lock."""
        return self.modules / ".lock-holder"

    @property
    def key(self) -> Path:
        """The secret that seals what the registry remembers of secrets."""
        return self.root / settings.KEY

    @property
    def ignored(self) -> Path:
        """What keeps all but the registry out of version control."""
        return self.modules / ".gitignore"

    @property
    def journal(self) -> Path:
        """What a commit is about to do."""
        return self.modules / ".journal"

    @property
    def backups(self) -> Path:
        """The folder of the backups."""
        return self.root / settings.BACKUPS
