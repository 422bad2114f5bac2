"""Modules, taken off their hosts; what they stored stays, or is dumped and deleted."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.connection.conversation import HostError
from dagster_module_builder.deploy.hosts.holder import holder
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.deploy.hosts.host_storage import VARIABLE
from dagster_module_builder.deploy.hosts.targets import Key, targets_of
from dagster_module_builder.deploy.model.deployment import Deployment
from dagster_module_builder.deploy.model.host_settings import ENV
from dagster_module_builder.deploy.rollout import DEFAULT_OPTIONS, HostOutcome, Rollout, RolloutOptions
from dagster_module_builder.shared_files.formats import env_file
from dagster_module_builder.transactions import module_files

_SERVERS = ("postgresql", "mysql")


@dataclass(frozen=True)
class ModuleData:
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


def data_of(
    deployment: Deployment, settings: Mapping[str, str], service: Mapping[str, Any] | None, storage: str
) -> ModuleData:
    """Return what a module has stored, as its settings on the host say.

    Args:
        deployment: Of which module.
        settings: The settings that the current release has there.
        service: Its database's, where that is one of the host's Compose project.
        storage: Where all modules of the host store.
    """
    place = settings.get(VARIABLE) or storage
    is_folder = place.startswith("/")
    left = [] if is_folder else [f"What it stored in {place} is left there."]
    prefix = deployment.names.env_prefix
    if path := settings.get(f"{prefix}_DB_PATH"):
        left.append(f"Its database file {path} is left there.")
    kind = (deployment.data.get("database") or {}).get("type")
    if kind not in _SERVERS:
        return ModuleData(place if is_folder else None, left=left)
    reached = {name: settings.get(f"{prefix}_DB_{name.upper()}", "") for name in ("host", "port", "user", "name")}
    database = {"type": kind, **reached, "password": settings.get(f"{prefix}_DB_PASSWORD", "")}
    if service is None:
        left.append(f"The database {database['name']} on {database['host']} is left there: drop it by hand.")
    return ModuleData(place if is_folder else None, database, list(service["volumes"]) if service else (), left)


@dataclass
class Removing(Rollout):
    """Modules on their way off their hosts.

    Attributes:
        options: How.
        delete_data: Whether what they stored is deleted, too.
        stopped: The hosts whose Dagster was stopped, since it had no module left.
        remains: What each module leaves behind on each host, as the host remembers it until it is deleted.
    """

    options: RolloutOptions = DEFAULT_OPTIONS
    delete_data: bool = False
    remains: dict[tuple[Key, str], dict[str, Any] | None] = field(default_factory=dict)
    stopped: set[Key] = field(default_factory=set)

    action = "remove"

    def prepare(self, run: HostRun) -> None:
        """Take the lock, and see whether the blocks can be taken out."""
        modules = run.target.modules
        run.inspect(modules, (), holder(self.action), self.options.wait)
        run.begun += modules
        run.refuse_unready()
        for one in run.target.deployments:
            is_gone = not run.plan([], [one.names], force=self.options.force).effective
            before = run.inspection["modules"][one.names.name]["remains"] if is_gone else None
            self.remains[run.target.key, one.names.name] = before or None

    def switch(self, run: HostRun) -> None:
        """Have Dagster let the modules go."""
        names = [one.names for one in run.target.deployments]
        # The containers of databases go last: until then everything can be put back.
        run.switch(run.plan([], names, force=self.options.force), [], [], [one.snake for one in names])
        # Dumped behind the switch, so that no run stores anything later; a dump that fails puts every host back.
        for one in run.target.deployments:
            before = self.remains[run.target.key, one.names.name]
            self.remains[run.target.key, one.names.name] = self.leave(run, one, before)

    def leave(self, run: HostRun, deployment: Deployment, before: dict[str, Any] | None) -> dict[str, Any]:
        """Return what a module leaves behind; where that is to be deleted, have it dumped on the host.

        Args:
            run: The host.
            deployment: Of which module.
            before: What the host remembers of a module that is gone already.
        """
        module, service = deployment.names.name, run.database(deployment.names.name)
        data = data_of(deployment, _settings(run, deployment), service, run.storage_place)
        folder = run.on_host(deployment.dagster_folder)
        remains = before or {
            "location": deployment.names.snake,
            "storage": data.storage,
            "service": {"folder": folder, "volumes": list(data.volumes)} if data.volumes else None,
            "where": run.where,
            "dump": None,
        }
        if not self.delete_data:
            return remains
        run.report("dump")
        place = service and {"folder": folder, "name": service["name"]}
        database = data.database and {**data.database, "service": place}
        answer = run.conversation.ask(
            "dump",
            module=module,
            location=remains["location"],
            storage=remains["storage"],
            database=database if run.state(module).get("current") and not before else None,
            where=remains["where"],
            remains=before is not None,
        )
        what = ", ".join(sorted(answer["files"])) or "there was nothing"
        run.notes += [f"What {module} had stored is in {answer['folder']} on the host ({what}).", *data.left]
        return {**remains, "dump": answer}

    def keep(self, run: HostRun) -> HostOutcome:
        """Remove what is left of them."""
        run.report("keep")
        deleted: list[str] = []
        for one in run.target.deployments:
            module = one.names.name
            service, folder = run.database(module), run.on_host(one.dagster_folder)
            remains = self.remains[run.target.key, module] or {}
            answer = run.conversation.ask(
                "remove",
                module=module,
                log=holder(self.action),
                services=service and {"folder": folder, "names": [service["name"]]},
                data={name: value for name, value in remains.items() if name != "image"},
                deletes=self.delete_data,
            )
            run.problems += [f"{run.target}: {problem}" for problem in answer["problems"]]
            deleted += answer["deleted"]
        if deleted:
            run.notes.append(f"Deleted: {', '.join(deleted)}.")
        self.stop_unused(run)
        run.report("done")
        return HostOutcome(str(run.target), deleted=tuple(deleted))

    def stop_unused(self, run: HostRun) -> None:
        """Stop a Dagster that this program started and that has no code location left."""
        gone = {one.names.snake for one in run.target.deployments}
        if not run.has_service or set(run.inspection["dagster"]["locations"]) - gone:
            return
        again = f"start it again with 'deploy.setup {run.target.first.name} --start'"
        try:
            if run.conversation.ask("stop service", folder=run.target.first.dagster_folder)["stopped"]:
                self.stopped.add(run.target.key)
                run.notes.append(f"Dagster had no module left, and was stopped; {again}.")
        except BuilderError as error:
            stop = f"Stop it with 'deploy.setup {run.target.first.name} --stop'."
            run.problems.append(f"{run.target}: Dagster has no module left, and still runs. {stop} {error}")

    def settle(self, run: HostRun) -> None:
        """See to it that Dagster's daemon knows of the change, where it still runs."""
        if run.target.key not in self.stopped:
            super().settle(run)


def _settings(run: HostRun, deployment: Deployment) -> dict[str, str]:
    """Return the settings of a module's current release; those of the deployment here where the host has none."""
    module = deployment.names.name
    identity = run.state(module).get("current")
    if identity:
        with contextlib.suppress(HostError):
            answer = run.conversation.ask("settings", module=module, identity=identity)
            return env_file.values(base64.b64decode(answer["env"]))
    path = deployment.folder / ENV
    return env_file.values(module_files.read(deployment.module, path) or b"")


def remove(
    deployments: Sequence[Deployment], options: RolloutOptions = DEFAULT_OPTIONS, *, delete_data: bool = False
) -> list[HostOutcome]:
    """Take modules off their hosts: blocks, releases, environments and settings.

    Args:
        deployments: Which modules.
        options: How.
        delete_data: Delete also what they stored, after it was dumped on the host; otherwise that stays.
    """
    targets = targets_of(deployments, options.hosts)
    return Removing(targets, options.progress, options=options, delete_data=delete_data).carry_out()
