"""Modules, taken off their hosts; what they stored stays, or is dumped and deleted."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dagster_module_builder.deployments.deployment import Deployment
from dagster_module_builder.deployments.host_run import HostRun, holder
from dagster_module_builder.deployments.rollout import ALL_AT_ONCE, HostOutcome, Manner, Rollout, targets_of
from dagster_module_builder.formats import env_file

#: Where modules store their assets unless they are told otherwise.
STORAGE = "/tmp/dagster_storage"  # noqa: S108 - the template's default, which a container has a volume at
_SERVERS = ("postgresql", "mysql")


@dataclass(frozen=True)
class Stored:
    """What a module has stored on a host.

    Attributes:
        storage: The folder of stored assets, where Dagster runs; None where they are no files of the host's.
        database: How its database server is reached; None where it has none.
        volumes: The volumes of its database's service.
        left: What is not deleted, for people.
    """

    storage: str | None
    database: Mapping[str, Any] | None = None
    volumes: Sequence[str] = ()
    left: Sequence[str] = ()


def stored(deployment: Deployment, settings: Mapping[str, str], service: Mapping[str, Any] | None) -> Stored:
    """Return what a module has stored, as its settings on the host say.

    Args:
        deployment: Of which module.
        settings: The settings that the current release has there.
        service: Its database's, where that is one of the host's Compose project.
    """
    place = settings.get("DAGSTER_STORAGE_DIR") or STORAGE
    is_folder = place.startswith("/")
    left = [] if is_folder else [f"What it stored in {place} is left there."]
    prefix = deployment.names.env_prefix
    if path := settings.get(f"{prefix}_DB_PATH"):
        left.append(f"Its database file {path} is left there.")
    kind = (deployment.data.get("database") or {}).get("type")
    if kind not in _SERVERS:
        return Stored(place if is_folder else None, left=left)
    reached = {name: settings.get(f"{prefix}_DB_{name.upper()}", "") for name in ("host", "port", "user", "name")}
    database = {"type": kind, **reached, "password": settings.get(f"{prefix}_DB_PASSWORD", "")}
    if service is None:
        left.append(f"The database {database['name']} on {database['host']} is left there: drop it by hand.")
    return Stored(place if is_folder else None, database, list(service["volumes"]) if service else (), left)


@dataclass
class Removing(Rollout):
    """Modules on their way off their hosts."""

    manner: Manner = ALL_AT_ONCE
    delete_data: bool = False
    dumped: dict[tuple[str, str], Stored] = field(default_factory=dict)

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
        # Dumped behind the switch, so that no run stores anything later; a dump that fails puts every host back.
        for one in run.target.deployments if self.delete_data else ():
            self.dump(run, one)

    def dump(self, run: HostRun, deployment: Deployment) -> None:
        """Have what a module has stored in files on the host."""
        run.tell("dump")
        module, service = deployment.names.name, run.database(deployment.names.name)
        data = stored(deployment, _settings(run, module), service)
        place = service and {"folder": run.on_host(deployment.dagster_folder), "name": service["name"]}
        answer = run.conversation.ask(
            "dump",
            module=module,
            location=deployment.names.snake,
            storage=data.storage,
            database=data.database and {**data.database, "service": place},
            where=run.where,
        )
        self.dumped[str(run.target), module] = data
        what = ", ".join(answer["files"]) or "there was nothing"
        run.notes += [f"What {module} had stored is in {answer['folder']} on the host ({what}).", *data.left]

    def keep(self, run: HostRun) -> HostOutcome:
        """Remove what is left of them."""
        for one in run.target.deployments:
            module = one.names.name
            service, folder = run.database(module), run.on_host(one.dagster_folder)
            answer = run.conversation.ask(
                "remove",
                module=module,
                log={**holder(), "action": self.action},
                services=service and {"folder": folder, "names": [service["name"]]},
                data=self.deletion(run, one),
            )
            if answer["deleted"]:
                run.notes.append(f"Deleted: {', '.join(answer['deleted'])}.")
        run.settle(is_new=False, wait=False)
        return HostOutcome(str(run.target), {}, tuple(run.notes))

    def deletion(self, run: HostRun, deployment: Deployment) -> dict[str, Any] | None:
        """Return what is deleted of a module's data: what was dumped, and nothing else."""
        data = self.dumped.get((str(run.target), deployment.names.name))
        if data is None:
            return None
        folder = run.on_host(deployment.dagster_folder)
        service = {"folder": folder, "volumes": list(data.volumes)} if data.volumes else None
        return {"location": deployment.names.snake, "storage": data.storage, "service": service, "where": run.where}


def _settings(run: HostRun, module: str) -> dict[str, str]:
    """Return the settings of a module's current release."""
    identity = run.state(module).get("current")
    if not identity:
        return {}
    return env_file.values(base64.b64decode(run.conversation.ask("settings", module=module, identity=identity)["env"]))


def remove(
    deployments: Sequence[Deployment], manner: Manner = ALL_AT_ONCE, *, delete_data: bool = False
) -> list[HostOutcome]:
    """Take modules off their hosts: blocks, releases, environments and settings.

    Args:
        deployments: Which modules.
        manner: How.
        delete_data: Delete also what they stored, after it was dumped on the host; otherwise that stays.
    """
    targets = targets_of(deployments, manner.hosts)
    return Removing(targets, manner.progress, manner=manner, delete_data=delete_data).carry_out()
