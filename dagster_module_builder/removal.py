"""Modules, taken off their hosts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dagster_module_builder.deployment import Deployment
from dagster_module_builder.host_run import HostRun, holder
from dagster_module_builder.rollout import ALL_AT_ONCE, HostOutcome, Manner, Rollout, targets_of


@dataclass
class Removing(Rollout):
    """Modules on their way off their hosts."""

    manner: Manner = ALL_AT_ONCE

    action = "remove"

    def prepare(self, run: HostRun) -> None:
        """Take the lock, and see whether the blocks can be taken out."""
        modules = [one.names.name for one in run.target.deployments]
        run.look(modules, (), holder(), self.manner.wait)
        run.refuse_unready()
        run.begun += modules
        run.plan([], [one.names for one in run.target.deployments], force=self.manner.force)

    def switch(self, run: HostRun) -> None:
        """Have Dagster let the modules go."""
        names = [one.names for one in run.target.deployments]
        # The containers of databases go last: until then everything can be put back.
        run.switch(run.plan([], names, force=self.manner.force), [], [], [one.snake for one in names])

    @staticmethod
    def database(run: HostRun, module: str) -> dict[str, Any] | None:
        """Return the database that a module has as a service of the host's."""
        found = run.found["modules"][module]
        record: dict[str, Any] = found["releases"].get(found["state"].get("current"), {})
        return record.get("database")

    def keep(self, run: HostRun) -> HostOutcome:
        """Remove what is left of them."""
        for one in run.target.deployments:
            database = self.database(run, one.names.name)
            services = run.services([database] if database else [])
            log = {**holder(), "action": self.action}
            run.conversation.ask("remove", module=one.names.name, log=log, services=services)
        run.settle(is_new=False, wait=False)
        return HostOutcome(str(run.target), {}, tuple(run.notes))


def remove(deployments: Sequence[Deployment], manner: Manner = ALL_AT_ONCE) -> list[HostOutcome]:
    """Take modules off their hosts: blocks, releases, environments and settings. What they stored stays."""
    return Removing(targets_of(deployments, manner.hosts), manner.progress, manner=manner).carry_out()
