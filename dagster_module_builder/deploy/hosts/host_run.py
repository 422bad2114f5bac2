"""The steps of a rollout on one host: plan, switch, and keep or undo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.deploy.host_side.server_end import RETIRE_AFTER
from dagster_module_builder.deploy.hosts import host_files
from dagster_module_builder.deploy.hosts.host_location import HostLocation
from dagster_module_builder.deploy.hosts.host_release import Release
from dagster_module_builder.deploy.hosts.host_requests import as_request
from dagster_module_builder.deploy.hosts.host_session import HostSession
from dagster_module_builder.deploy.model.deployment import Deployment
from dagster_module_builder.transactions.plan import Plan

#: Seconds until Dagster's daemon begins to read the workspace file again by itself: it looks at the clock every five.
DAEMON_READS = 65.0


@dataclass
class HostRun(HostSession):
    """The steps of a rollout on one host."""

    def location_of(self, release: Release) -> HostLocation:
        """Return the code location of a new release."""
        environment, serves = self.environment(release), release.strategy.serves
        made = (release.deployment, release.identity, environment, release.env, release.database)
        return self.location(*made, serves=serves)

    def location(
        self,
        deployment: Deployment,
        identity: str,
        environment: str | None,
        env: bytes,
        database: Mapping[str, Any] | None = None,
        *,
        serves: bool = False,
    ) -> HostLocation:
        """Return the code location of a release, which ``serves`` itself if it is an image."""
        module = deployment.names.name
        folder = self.inside("modules", module, "releases", identity)
        if serves or module in self.servers:
            return HostLocation(deployment.names, folder, None, env, database, self.server_of(deployment, identity))
        python = environment and self.inside("modules", module, "venvs", environment, "bin", "python")
        return HostLocation(deployment.names, str(PurePosixPath(folder, deployment.source)), python, env, database)

    def plan(self, put: Sequence[HostLocation], take: Sequence[ModuleNames] = (), *, force: bool = False) -> Plan:
        """Plan the changes of the host's files."""
        # A folder that Dagster's processes were started with is not repeated in .env.
        place = self.storage.place if self.storage and not self.storage.is_of_processes else ""
        storage = None if self.target.first.kind == "compose" else place
        folder = self.target.first.dagster_folder
        return host_files.plan_host(folder, self.files(), put, take, force=force, storage=storage)

    def switch(
        self, plan: Plan, modules: Sequence[Mapping[str, Any]], put: Sequence[HostLocation], absent: Sequence[str] = ()
    ) -> None:
        """Carry out a plan, and verify that Dagster has loaded the result."""
        self.report("switch")
        answer = self.conversation.ask(
            "switch",
            files=[as_request(change) for change in plan.effective],
            modules=list(modules),
            expect={location.names.snake: location.expected for location in put},
            absent=list(absent),
            services=self.services(put),
        )
        self.seconds["reload"] = answer["seconds"]
        if not answer["daemons"] and not self.is_preview:
            self.notes.append("Dagster's daemon is not running, and was not before: schedules and sensors do not work.")

    def services(self, put: Sequence[HostLocation]) -> dict[str, Any] | None:
        """Return the Compose services that a switch starts (``names``), and those not needed any more (``gone``)."""
        names = [location.database["name"] for location in put if location.database]
        before = [database["name"] for location in put if (database := self.database(location.names.name))]
        gone = [name for name in before if name not in names]
        folder = self.on_host(self.target.first.dagster_folder)
        return {"folder": folder, "names": names, "gone": gone} if names or gone else None

    def keep(self, modules: Sequence[str], keep: int, log: Mapping[str, Any]) -> list[str]:
        """Keep the new releases, and remove old ones; return the removed ones."""
        self.report("keep")
        request = {"modules": list(modules), "keep": keep, "log": dict(log), "retire_after": RETIRE_AFTER}
        answer = self.conversation.ask("keep", **request)
        pruned: list[str] = answer["pruned"]
        self.problems += [f"{self.target}: {problem}" for problem in answer["problems"]]
        if stopped := ", ".join(answer["stopped"]):
            self.notes.append(f"Removed {stopped}, which the current release does not need; its volume was kept.")
        self.automation = {name: answer["automation"][name] for name in ("renamed", "stopped")}
        self.notes += [] if self.is_preview else automation_notes(answer["automation"])
        self.report("done")
        return pruned

    def hold(self, locations: Sequence[str]) -> None:
        """Pause the schedules and sensors of code locations, until the change is kept or undone."""
        self.report("pause")
        self.conversation.ask("hold", locations=list(locations))

    def definitions(self) -> dict[str, Any]:
        """Return the definitions of each module that the host's Dagster has loaded; None where it does not tell."""
        modules = {deployment.names.name: deployment.names.snake for deployment in self.target.deployments}
        answer: dict[str, Any] = self.conversation.ask("defined", modules=modules)["definitions"]
        # A module's first release adds all of its definitions.
        return {name: each if each or self.state(name).get("current") else {} for name, each in answer.items()}

    def back(self, modules: Sequence[str], log: Mapping[str, Any]) -> list[str]:
        """Restore the old release; return problems for the user."""
        self.report("back")
        problems: list[str] = self.conversation.ask("back", modules=list(modules), log=dict(log))["problems"]
        self.report("as before")
        return problems

    def restarts_daemon(self) -> bool:
        """Restart the daemon if ``deploy.setup`` started it; tell whether it was restarted."""
        folder = self.target.first.dagster_folder
        return self.has_service and bool(self.conversation.ask("restart daemon", folder=folder)["restarted"])

    def settle(self, *, is_new: bool, wait: bool) -> None:
        """Restart Dagster's daemon, or wait until it has read the workspace, and add a note."""
        if self.is_preview:
            return
        command = self.target.first.data["dagster"].get("restart_daemon")
        if not command and not (is_new and wait):
            self.notes.append(
                "Dagster's daemon uses the new release within a minute; until then it starts runs of the old one."
            )
            return
        self.report("daemon")
        if not command and self.restarts_daemon():
            self.notes.append("Dagster's daemon was restarted.")
            self.report("done")
            return
        # It may have begun to read just before the switch; its next minute begins when all locations are loaded.
        until_it_knows = DAEMON_READS + 2 * self.seconds.get("reload", 0.0)
        answer = self.conversation.ask("daemon", command=command, limit=until_it_knows if wait else 0)
        how = "was restarted" if answer["restarted"] else "has read the workspace again"
        self.notes.append(f"Dagster's daemon {how}.")
        self.report("done")


def automation_notes(changed: Mapping[str, Any]) -> list[str]:
    """Return what to say of schedules and sensors after a change.

    Args:
        changed: ``renamed``, ``stopped`` and ``missed``, as the host answered.
    """
    states = {True: "runs", False: "is stopped"}
    notes = [
        f"The {each['kind']} {each['was']} is called {each['name']} now; it {states[each['running']]} as before."
        for each in changed["renamed"]
    ]
    if changed["stopped"]:
        new = ", ".join(f"{each['kind']} {each['name']}" for each in changed["stopped"])
        notes.append(f"New, and stopped until a person starts it in Dagster: {new}.")
    return [*notes, *changed["missed"]]
