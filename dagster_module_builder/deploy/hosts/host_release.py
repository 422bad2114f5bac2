"""A release on its way to hosts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dagster_module_builder.deploy.model.deployment import Deployment
from dagster_module_builder.deploy.model.release import Staged
from dagster_module_builder.deploy.strategies.base import Strategy


@dataclass(frozen=True)
class Release:
    """A release for every host of a deployment."""

    deployment: Deployment
    strategy: Strategy
    staged: Staged
    identity: str
    env: bytes
    requirements: str = ""
    constraints: str = ""
    database: Mapping[str, Any] | None = None
    made: Mapping[str, Any] = field(default_factory=dict)
    hooks: Mapping[str, str] = field(default_factory=dict)

    @property
    def module(self) -> str:
        """The module's name."""
        return self.deployment.names.name

    def environment(self, interpreter: str) -> str | None:
        """Return the environment's name, a hash of its content; None if the release runs in the host's or in an image.

        Args:
            interpreter: The interpreter that the environment is made with.
        """
        if self.deployment.environment["kind"] == "host" or self.strategy.serves:
            return None
        parts = (self.requirements, self.constraints, interpreter)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    def record(self, holder: Mapping[str, Any], environment: str | None) -> dict[str, Any]:
        """Return the content of its ``RELEASE.json``.

        Args:
            holder: Who deploys.
            environment: Its environment on this host.
        """
        return {
            "release": self.identity,
            "module": self.module,
            "deployment": self.deployment.name,
            "strategy": self.deployment.strategy,
            "commit": self.staged.source.commit,
            "branch": self.staged.source.branch,
            "dirty": self.staged.source.dirty,
            "digest": self.staged.digest,
            "files": len(self.staged.lines),
            "bytes": self.staged.size,
            "environment": environment,
            "database": self.database,
            **({"hooks": dict(self.hooks)} if self.hooks else {}),
            **self.made,
            "by": holder["who"],
        }
