"""Removes modules from their hosts; their data is kept, or dumped and deleted."""

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
    """A module's data on a host.

    Attributes:
        storage: The folder that holds the assets of all modules, as Dagster sees it; None if it is not a folder.
        database: How its database server is reached; None without one.
        volumes: The volumes of its database's service.
        left: Notes about data that is not deleted.
    """

    storage: str | None
    database: Mapping[str, Any] | None = None
    volumes: Sequence[str] = ()
    left: Sequence[str] = ()


def data_of(
    deployment: Deployment, settings: Mapping[str, str], service: Mapping[str, Any] | None, storage: str
) -> ModuleData:
    """Return a module's data, as its settings on the host say.

    Args:
        deployment: The deployment.
        settings: The settings of the current release there.
        service: Its database, if that is a service of the host's Compose project.
        storage: Where all modules of the host store assets.
    """
    folder = settings.get(VARIABLE) or storage
    is_folder = folder.startswith("/")
    left = [] if is_folder else [f"Its assets in {folder} are left there."]
    prefix = deployment.names.env_prefix
    if path := settings.get(f"{prefix}_DB_PATH"):
        left.append(f"Its database file {path} is left there.")
    kind = (deployment.data.get("database") or {}).get("type")
    if kind not in _SERVERS:
        return ModuleData(folder if is_folder else None, left=left)
    reached = {name: settings.get(f"{prefix}_DB_{name.upper()}", "") for name in ("host", "port", "user", "name")}
    database = {"type": kind, **reached, "password": settings.get(f"{prefix}_DB_PASSWORD", "")}
    if service is None:
        left.append(f"The database {database['name']} on {database['host']} is left there: drop it by hand.")
    return ModuleData(folder if is_folder else None, database, list(service["volumes"]) if service else (), left)


@dataclass
class Removing(Rollout):
    """The removal of modules from their hosts.

    Attributes:
        options: The options.
        delete_data: Whether to delete their data, too.
        stopped: The hosts whose Dagster was stopped, since it had no module left.
        remains: The data that each module leaves on each host, as the host records it until it is deleted.
    """

    options: RolloutOptions = DEFAULT_OPTIONS
    delete_data: bool = False
    remains: dict[tuple[Key, str], dict[str, Any] | None] = field(default_factory=dict)
    stopped: set[Key] = field(default_factory=set)

    action = "remove"

    def prepare(self, run: HostRun) -> None:
        """Take the lock, and check that the blocks can be removed."""
        modules = run.target.modules
        run.inspect(modules, (), holder(self.action), self.options.wait)
        run.begun += modules
        run.refuse_unready()
        for deployment in run.target.deployments:
            is_gone = not run.plan([], [deployment.names], force=self.options.force).effective
            before = run.inspection["modules"][deployment.names.name]["remains"] if is_gone else None
            self.remains[run.target.key, deployment.names.name] = before or None

    def switch(self, run: HostRun) -> None:
        """Remove the modules from Dagster."""
        names = [deployment.names for deployment in run.target.deployments]
        # The containers of databases are removed last: until then everything can be restored.
        run.switch(run.plan([], names, force=self.options.force), [], [], [module.snake for module in names])
        # Dumped after the switch, so that no run stores anything later; a dump that fails rolls back every host.
        for deployment in run.target.deployments:
            before = self.remains[run.target.key, deployment.names.name]
            self.remains[run.target.key, deployment.names.name] = self.leave(run, deployment, before)

    def leave(self, run: HostRun, deployment: Deployment, before: dict[str, Any] | None) -> dict[str, Any]:
        """Return the data that a module leaves; if it is to be deleted, dump it on the host.

        Args:
            run: The host.
            deployment: The deployment.
            before: The host's record of a module that was removed earlier.
        """
        module, service = deployment.names.name, run.database(deployment.names.name)
        data = data_on(run, deployment)
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
        compose_service = service and {"folder": folder, "name": service["name"]}
        database = data.database and {**data.database, "service": compose_service}
        answer = run.conversation.ask(
            "dump",
            module=module,
            location=remains["location"],
            storage=remains["storage"],
            database=database if run.state(module).get("current") and not before else None,
            where=remains["where"],
            remains=before is not None,
        )
        files = ", ".join(sorted(answer["files"])) or "there was none"
        run.notes += [f"The data of {module} was dumped to {answer['folder']} on the host ({files}).", *data.left]
        return {**remains, "dump": answer}

    def keep(self, run: HostRun) -> HostOutcome:
        """Remove the modules' files and containers, and their data if asked to."""
        run.report("keep")
        deleted: list[str] = []
        for deployment in run.target.deployments:
            module = deployment.names.name
            service, folder = run.database(module), run.on_host(deployment.dagster_folder)
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
        """Stop the Dagster that ``deploy.setup`` started, if it has no code location left."""
        gone = {deployment.names.snake for deployment in run.target.deployments}
        if not run.has_service or set(run.inspection["dagster"]["locations"]) - gone:
            return
        again = f"start it again with 'deploy.setup {run.target.first.name} --start'"
        try:
            if run.conversation.ask("stop service", folder=run.target.first.dagster_folder)["stopped"]:
                self.stopped.add(run.target.key)
                run.notes.append(f"Dagster had no module left, and was stopped; {again}.")
        except BuilderError as error:
            stop = f"Stop it with 'deploy.setup {run.target.first.name} --stop'."
            run.problems.append(f"{run.target}: Dagster has no module left, but could not be stopped: {error} {stop}")

    def settle(self, run: HostRun) -> None:
        """Make Dagster's daemon use the change, if it still runs."""
        if run.target.key not in self.stopped:
            super().settle(run)


def data_on(run: HostRun, deployment: Deployment) -> ModuleData:
    """Return a module's data on a host that has been inspected."""
    service = run.database(deployment.names.name)
    return data_of(deployment, _settings(run, deployment), service, run.storage_place)


def _settings(run: HostRun, deployment: Deployment) -> dict[str, str]:
    """Return the settings of a module's current release; those of the local deployment if the host has none."""
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
    """Remove modules from their hosts: blocks, releases, environments and settings.

    Args:
        deployments: The deployments.
        options: The options.
        delete_data: Delete their data, too, after it was dumped on the host; otherwise it is kept.
    """
    targets = targets_of(deployments, options.hosts)
    return Removing(targets, options.progress, options=options, delete_data=delete_data).carry_out()
