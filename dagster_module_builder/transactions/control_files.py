"""The files by which commands stay out of each other's way: lock, journal, backups."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dagster_module_builder.base.layout import WorkspaceLayout, layout_of


@dataclass(frozen=True)
class ControlFiles:
    """Paths of a workspace's lock, journal, key and backups.

    Attributes:
        root: The workspace's root.
    """

    root: Path

    @cached_property
    def layout(self) -> WorkspaceLayout:
        """Where the workspace's files are: as it was when it was first asked, however a command ends."""
        return layout_of(self.root)

    @property
    def modules(self) -> Path:
        """The folder of the registry."""
        return self.layout.state

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
        return self.layout.key

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
        return self.layout.backups
