"""One host, from its first answer to the last: prepare, transfer, verify, switch, and keep or go back."""

from __future__ import annotations

import base64
import getpass
import hashlib
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from dagster_module_builder.base.errors import BuilderError, RefusedError, ToolError
from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.deploy.connection.conversation import Conversation, HostError
from dagster_module_builder.deploy.connection.remote import Remote
from dagster_module_builder.deploy.host_side.compose import tells_absence
from dagster_module_builder.deploy.hosts import host_database, host_environment, host_files, host_storage
from dagster_module_builder.deploy.hosts.host_location import Location, Server
from dagster_module_builder.deploy.hosts.host_release import Release, Target
from dagster_module_builder.deploy.hosts.host_requests import (
    SERVER_PORT,
    WEBSERVER,
    as_request,
    beginning,
    server_name,
    serving,
)
from dagster_module_builder.deploy.model.deployment import Deployment
from dagster_module_builder.deploy.model.release import differences
from dagster_module_builder.deploy.pipelines.pipeline_run import who_runs
from dagster_module_builder.deploy.strategies.images import credentials, registry_of
from dagster_module_builder.deploy.strategies.place import Place
from dagster_module_builder.shared_files.formats import env_file
from dagster_module_builder.transactions.plan import Plan

#: Free space that a new environment needs, in bytes.
ENVIRONMENT = 1 << 30
#: Seconds until Dagster's daemon begins to read the workspace file anew by itself: it looks at the clock every five.
DAEMON_READS = 65.0
#: Seconds until the old code server may be stopped: nobody asks it any more, unless a run is in progress in it.
RETIRE_AFTER = 75.0


Progress = Callable[[str, str], None]


@dataclass
class HostRun:
    """The conversation with one host, and what it has found out so far."""

    target: Target
    progress: Progress
    remote: Remote = field(init=False)
    conversation: Conversation = field(init=False)
    found: dict[str, Any] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    servers: dict[str, dict[str, Any]] = field(default_factory=dict)
    storage: host_storage.Storage | None = None

    def __post_init__(self) -> None:
        self.remote = Remote(self.target.host.address)
        self.conversation = Conversation(self.remote, self.tell, self.target.host.python)

    def tell(self, step: str) -> None:
        """Say which step the host is in."""
        self.progress(str(self.target), step)

    def close(self) -> None:
        """End the conversation; the host undoes what is half done, and frees its lock."""
        self.conversation.close()
        self.remote.close()

    def reach(self, *, bulk: bool) -> None:
        """Begin to open the connections: it takes a dozen round trips in which this machine has something to do.

        The host hashes its current releases meanwhile.
        """
        self.tell("connect")
        if bulk:
            self.remote.prepare_bulk()
        modules = [one.names.name for one in self.target.deployments]
        self.conversation.begin(("expect", {"base": self.target.host.base_path, "modules": modules}))

    # What is there

    def look(
        self,
        modules: Sequence[str],
        tools: Sequence[str] = (),
        holder: Mapping[str, Any] | None = None,
        wait: float = 0.0,
    ) -> dict[str, Any]:
        """Open the conversation and take in what there is; with a holder, take the lock."""
        self.open_with([("open", self.opening(modules, tools, holder, wait))])
        return self.found

    def open_with(self, requests: list[tuple[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
        """Open the conversation with several requests in one round trip; return the answers behind the first."""
        self.tell("connect")
        self.conversation.open()
        self.found, *answers = self.conversation.ask_all(requests)
        self.notes += self.found["recovered"]
        return answers

    def opening(
        self, modules: Sequence[str], tools: Sequence[str], holder: Mapping[str, Any] | None, wait: float
    ) -> dict[str, Any]:
        """Return the first request."""
        return {
            "base": self.target.host.base_path,
            "url": self.target.host.url,
            "modules": list(modules),
            "files": host_files.looked_at(self.target.first.dagster_folder),
            "tools": sorted({*tools, *self.own_tools}),
            "holder": holder,
            "wait": wait,
            "folder": self.target.first.dagster_folder if self.target.first.kind == "native" else None,
            "pythons": sorted(host_environment.interpreters(self.target)),
        }

    @property
    def base(self) -> str:
        """The base path on the host, with the home folder filled in."""
        return str(self.found["base"])

    def files(self) -> dict[str, bytes | None]:
        """Return the bytes of the host's shared files."""
        held = self.found["files"]
        return {path: None if text is None else base64.b64decode(text) for path, text in held.items()}

    def state(self, module: str) -> dict[str, Any]:
        """Return which release of a module is current, and since when."""
        found: dict[str, Any] = self.found["modules"][module]["state"]
        return found

    def inside(self, *parts: str) -> str:
        """Return a path below the base as the host's Dagster sees it."""
        base = self.target.first.data["dagster"].get("base_inside") or self.base
        return str(PurePosixPath(base, *parts))

    def on_host(self, *parts: str) -> str:
        """Return a path below the base on the host."""
        return str(PurePosixPath(self.base, *parts))

    # A new release

    def prepare(
        self, releases: Sequence[Release], wait: float, begun_by: Mapping[str, Any], judge: Callable[[], object]
    ) -> None:
        """Take the lock, have the host ready, and bring the releases there, verified. Nothing that runs is touched.

        Args:
            releases: What to bring.
            wait: Seconds to wait for the lock.
            begun_by: Who deploys.
            judge: Refuses what can be refused before anything is built or travels.
        """
        if any(release.strategy.is_bulky(release.staged) for release in releases):
            self.remote.prepare_bulk()
        tools = sorted({tool for release in releases for tool in release.strategy.tools_there})
        modules = [release.module for release in releases]
        begin = [
            ("begin", beginning(one.module, one.identity, one.staged, shares=one.strategy.shares)) for one in releases
        ]
        begun = self.open_with([("open", self.opening(modules, tools, begun_by, wait)), *begin])
        self.begun += modules
        self.refuse_unready()
        judge()
        for release, place in zip(releases, begun, strict=True):
            self.bring(release, place, begun_by)

    def refuse_unready(self) -> None:
        """Refuse a host on which the rest cannot work."""
        host = str(self.target)
        lacking = [name for name, path in self.found["tools"].items() if path is None]
        if lacking:
            raise RefusedError(f"{host}: {', '.join(lacking)} is not installed on the host: install it there.")
        if self.found.get("docker"):
            raise RefusedError(f"{host}: Docker cannot be used by {self.found['user']!r}: {self.found['docker']}")
        if not self.found["writable"]:
            raise RefusedError(f"{host}: {self.found['user']!r} may not write to {self.base}/modules.")
        if mounted := ", ".join(self.found.get("mounted", [])):
            raise RefusedError(f"{host}: {mounted} is mounted singly and cannot be replaced: mount its folder there.")
        if error := self.found["dagster"].get("error"):
            start = f"Run 'deploy.setup {self.target.first.name} --start'" if self.has_service else "Start it"
            raise RefusedError(f"{host}: {error} {start}, then deploy again.")

    def bring(self, release: Release, begun: Mapping[str, Any], holder: Mapping[str, Any]) -> None:
        """Have one release on the host, complete and loadable."""
        self.tell("prepare")
        environment = self.environment(release)
        # Only a container can say whether its interpreter is still the one of the environment.
        if environment is not None and (self.where or not self.has_environment(release.module, environment)):
            self.build(release, environment)
        if release.database:
            self.fetch_database(release, release.database)
        self.tell("transfer")
        self.transfer(release, begun)
        self.tell("verify")
        self.verify(release, begun, holder)

    def environment(self, release: Release) -> str | None:
        """Return the environment of a release here; None where it runs in the host's, or in its image."""
        environments = self.found["modules"][release.module]["environments"]
        return host_environment.environment(self.target, release, self.found["interpreters"], environments)

    def has_environment(self, module: str, environment: str) -> bool:
        """Tell whether an environment is complete on the host, and its interpreter still there."""
        environments = self.found["modules"][module]["environments"]
        # A container's interpreter is not to be found on the host.
        return environment in environments and (self.where is not None or environments[environment] is not None)

    def build(self, release: Release, environment: str) -> None:
        """Make the release's environment."""
        self.tell("environment")
        self.conversation.ask(
            "environment",
            module=release.module,
            identity=environment,
            requirements=release.requirements,
            constraints=release.constraints,
            python=self.environment_python(release.deployment),
            need=ENVIRONMENT,
            where=self.where,
            service=self.target.first.dagster_folder if self.where is None else None,
        )

    def fetch_database(self, release: Release, database: Mapping[str, Any]) -> None:
        """Have on the host what the module's database starts from: its image, and the files that it mounts."""
        settings = self.files().get(host_files.paths(self.target.first.dagster_folder)[env_file.NAME])
        image = host_database.image(database, settings, release.env)
        found = self.conversation.ask("run", command=["docker", "image", "inspect", "--format", "{{.Id}}", image])
        if found["code"]:
            if not tells_absence(found["code"], found["said"]):
                raise ToolError(f"{self.target}: docker failed: {found['said'].strip() or 'it did not say why'}")
            self.tell("database image")
            answer = self.conversation.ask("run", command=["docker", "pull", "--quiet", image], limit=1800)
            if answer["code"]:
                raise RefusedError(
                    f"{self.target}: the database of {release.module} needs {image}: {answer['said'].strip()}"
                )
        for place, source in database["files"].items():
            text = base64.b64encode(release.staged.read(source) or b"").decode()
            self.conversation.ask("write", path=place, text=text, mode=0o644)

    def transfer(self, release: Release, begun: Mapping[str, Any], *, again: bool = False) -> None:
        """Bring the files."""
        place = replace(self.place(release, begun["folder"], begun["current"]), again=again, unlinked=begun["lacking"])
        release.strategy.transfer(release.deployment.module, release.deployment.own, release.staged, place)

    def place(self, release: Release, folder: str, current: str | None) -> Place:
        """Return where a release comes to be."""
        before = self.found["modules"][release.module]["releases"].get(current) or {}
        return Place(
            self.remote,
            self.conversation,
            folder,
            current and self.on_host("modules", release.module, "releases", current),
            self.on_host("modules", release.module, "repo.git"),
            release.identity,
            made=release.made,
            source=str(before.get("commit")),
        )

    def verify(self, release: Release, begun: Mapping[str, Any], holder: Mapping[str, Any]) -> None:
        """Compare what arrived with what was sent, once more if a file hid its change, and load the definitions."""
        request = {
            "module": release.module,
            "identity": release.identity,
            "wanted": hashlib.sha256(release.staged.files.encode()).hexdigest(),
            "record": release.record(holder, self.environment(release)),
            **self.proof_of(release),
        }
        try:
            answer = self.conversation.ask("verify", **request)
        except HostError as error:
            if error.code != "manifest":
                raise
            self.transfer(release, begun, again=True)
            answer = self.verified_again(request, release)
        self.seconds["validate"] = self.seconds.get("validate", 0.0) + answer["seconds"]
        if "server" in answer:
            self.servers[release.module] = answer["server"]

    def proof_of(self, release: Release) -> dict[str, Any]:
        """Return how the host is to prove that a release's definitions load."""
        if not release.strategy.serves:
            return {"check": self.check_of(release.deployment, self.environment(release), release.env)}
        server = serving(
            release.deployment, release.identity, str(release.made["image"]), release.env, self.storage_folder
        )
        return {"serve": server, "contents": release.staged.manifest}

    def verified_again(self, request: Mapping[str, Any], release: Release) -> dict[str, Any]:
        """Verify a second time, and name what still differs."""
        try:
            return self.conversation.ask("verify", **request)
        except HostError as error:
            if error.code != "manifest":
                raise
            found = "; ".join(differences(release.staged.files, error.details["manifest"]))
            raise BuilderError(f"{self.target}: what arrived is not what was sent: {found}.") from None

    def check_of(self, deployment: Deployment, environment: str | None, env: bytes) -> dict[str, Any]:
        """Return how definitions are loaded on the host."""
        return {
            "python": self.python(deployment, environment),
            "package": deployment.names.definitions,
            "environ": env_file.values(env),
            "path": deployment.source,
            "where": self.where,
        }

    # A code server of a release's own

    def fetch(self, deployment: Deployment, image: str) -> None:
        """Have a release's image on the host.

        The host says which image its release has: it gets the password of the deployment's own registry, and of no
        other one that it may name.
        """
        self.tell("image")
        is_own = registry_of(image) == str(deployment.own.get("registry"))
        self.conversation.ask("fetch", image=image, **(credentials(image) if is_own else {}))

    def serve(self, deployment: Deployment, identity: str, image: str, env: bytes) -> None:
        """Start the code server of a release that is on the host already, with these settings."""
        self.fetch(deployment, image)
        self.tell("verify")
        module = deployment.names.name
        server = serving(deployment, identity, image, env, self.storage_folder)
        answer = self.conversation.ask("serve", module=module, identity=identity, **server)
        self.servers[module] = answer["server"]

    def server_of(self, deployment: Deployment, identity: str) -> Server:
        """Return a release's code server: the one that runs, or the one that would be started."""
        module = deployment.names.name
        if found := self.servers.get(module):
            return Server(found["name"], found["host"], found["port"])
        name = server_name(module, identity)
        if deployment.kind == "compose":
            return Server(name, name, SERVER_PORT)
        return Server(name, "127.0.0.1", self.conversation.ask("port")["port"])

    def environment_python(self, deployment: Deployment) -> str:
        """Return the interpreter that environments are made with, or that the host's Dagster itself has."""
        return host_environment.interpreter(self.target, deployment.environment)

    def python(self, deployment: Deployment, environment: str | None) -> str:
        """Return the interpreter of a release, where Dagster runs."""
        if environment is None:
            return self.environment_python(deployment)
        return self.inside("modules", deployment.names.name, "venvs", environment, "bin", "python")

    @property
    def has_service(self) -> bool:
        """Whether ``deploy.setup`` made the Dagster of this host, as processes of its own."""
        return bool((self.found.get("service") or {}).get("made"))

    @property
    def own_tools(self) -> set[str]:
        """The programs that reaching the host's Dagster takes."""
        return {"docker"} if self.target.first.kind == "compose" else set()

    @property
    def where(self) -> dict[str, Any] | None:
        """How the host gets to where Dagster runs; None where it runs on the host itself."""
        if self.target.first.kind != "compose":
            return None
        folder = self.on_host(self.target.first.dagster_folder)
        return {
            "prefix": ["docker", "compose", "--project-directory", folder, "exec", "-T"],
            "service": self.target.first.data["dagster"].get("service") or WEBSERVER,
            "inside": self.inside(),
        }

    def room_lacking(self, need: int) -> str | None:
        """Say that the host has too little room; None where it has enough.

        Args:
            need: What is needed, in bytes.
        """
        free = int(self.found["disk"]["bytes"])
        lacking = f"{self.target}: {self.base} has {free >> 20} MiB free, and {need >> 20} MiB are needed there."
        return lacking if free < need else None

    # What modules store

    def settings(self) -> tuple[str, bytes]:
        """Return the path and the text of the host's ``.env``."""
        path = host_files.paths(self.target.first.dagster_folder)[env_file.NAME]
        return self.on_host(path), self.files().get(path) or b""

    @property
    def storage_place(self) -> str:
        """Where the modules of the host store: a folder, or an address of object storage."""
        if self.storage:
            return self.storage.place
        return host_storage.present(self.settings()[1], self.found["storage"] or {"told": None})

    @property
    def storage_folder(self) -> str:
        """The folder of the host that code servers store in."""
        return self.storage_place if self.storage_place.startswith("/") else self.on_host(host_storage.FOLDER)

    # The switch

    def location_of(self, release: Release) -> Location:
        """Return what Dagster is told of a new release."""
        env, database = release.env, release.database
        found = self.location(release.deployment, release.identity, self.environment(release), env, database)
        if not release.strategy.serves:
            return found
        folder = self.inside("modules", release.module, "releases", release.identity)
        return replace(found, code=folder, server=self.server_of(release.deployment, release.identity))

    def location(
        self,
        deployment: Deployment,
        identity: str,
        environment: str | None,
        env: bytes,
        database: Mapping[str, Any] | None = None,
    ) -> Location:
        """Return what Dagster is told of a release."""
        module = deployment.names.name
        folder = self.inside("modules", module, "releases", identity)
        if module in self.servers:
            return Location(deployment.names, folder, None, env, database, self.server_of(deployment, identity))
        python = environment and self.inside("modules", module, "venvs", environment, "bin", "python")
        return Location(deployment.names, str(PurePosixPath(folder, deployment.source)), python, env, database)

    def plan(self, put: Sequence[Location], take: Sequence[ModuleNames] = (), *, force: bool = False) -> Plan:
        """Plan what the host's files become."""
        # What Dagster was started with says it already, and .env would say something else.
        place = self.storage.place if self.storage and not self.storage.is_of_processes else ""
        storage = None if self.target.first.kind == "compose" else place
        folder = self.target.first.dagster_folder
        return host_files.plan_host(folder, self.files(), put, take, force=force, storage=storage)

    def switch(
        self, plan: Plan, modules: Sequence[Mapping[str, Any]], put: Sequence[Location], absent: Sequence[str] = ()
    ) -> None:
        """Have Dagster take what was planned, and prove that it did."""
        self.tell("switch")
        answer = self.conversation.ask(
            "switch",
            files=[as_request(change) for change in plan.effective],
            modules=list(modules),
            expect={one.names.snake: one.expected for one in put},
            absent=list(absent),
            services=self.services(put),
        )
        self.seconds["reload"] = answer["seconds"]
        if not answer["daemons"]:
            self.notes.append(
                "Dagster's daemon was not alive before, and is not now: schedules and sensors stand still."
            )

    def services(self, put: Sequence[Location]) -> dict[str, Any] | None:
        """Return which services of the host's Compose project a switch starts, and which it makes superfluous."""
        names = [one.database["name"] for one in put if one.database]
        before = [found["name"] for one in put if (found := self.database(one.names.name))]
        gone = [name for name in before if name not in names]
        folder = self.on_host(self.target.first.dagster_folder)
        return {"folder": folder, "names": names, "gone": gone} if names or gone else None

    def database(self, module: str) -> dict[str, Any] | None:
        """Return the database that a module's current release has as a service of the host's."""
        found = self.found["modules"][module]
        record: dict[str, Any] = found["releases"].get(found["state"].get("current"), {})
        return record.get("database")

    def keep(self, modules: Sequence[str], keep: int, log: Mapping[str, Any]) -> list[str]:
        """Let it stand, and remove what is too old."""
        self.tell("keep")
        request = {"modules": list(modules), "keep": keep, "log": dict(log), "retire_after": RETIRE_AFTER}
        answer = self.conversation.ask("keep", **request)
        pruned: list[str] = answer["pruned"]
        self.problems += [f"{self.target}: {problem}" for problem in answer["problems"]]
        if stopped := ", ".join(answer["stopped"]):
            self.notes.append(f"{stopped} belongs to no release that runs, and was taken away; its volume stays.")
        self.tell("done")
        return pruned

    def back(self, modules: Sequence[str], log: Mapping[str, Any]) -> list[str]:
        """Put the old release back."""
        self.tell("back")
        problems: list[str] = self.conversation.ask("back", modules=list(modules), log=dict(log))["problems"]
        self.tell("as before")
        return problems

    def restarts_daemon(self) -> bool:
        """Have the daemon started again where ``deploy.setup`` started it; tell whether that could be done."""
        folder = self.target.first.dagster_folder
        return self.has_service and bool(self.conversation.ask("restart daemon", folder=folder)["restarted"])

    def settle(self, *, is_new: bool, wait: bool) -> None:
        """See to it that Dagster's daemon knows the workspace of now, and say how."""
        command = self.target.first.data["dagster"].get("restart_daemon")
        if not command and not (is_new and wait):
            self.notes.append(
                "Dagster's daemon takes the change over within a minute; until then it starts runs as before."
            )
            return
        self.tell("daemon")
        if not command and self.restarts_daemon():
            self.notes.append("Dagster's daemon was restarted.")
            return
        # It may have begun to read just before the switch; that minute begins when all locations are loaded.
        until_it_knows = DAEMON_READS + 2 * self.seconds.get("reload", 0.0)
        answer = self.conversation.ask("daemon", command=command, limit=until_it_knows if wait else 0)
        how = "was restarted" if answer["restarted"] else "has read the workspace anew"
        self.notes.append(f"Dagster's daemon {how}.")


def holder(action: str | None = None, command: str = "") -> dict[str, Any]:
    """Return who deploys, for the lock and the log.

    Args:
        action: What is done, as the log calls it; None where the log does not have it.
        command: The command, where it is not the one that this process was started with.
    """
    typed = command or " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200]
    who = who_runs(os.environ) or f"{getpass.getuser()}@{socket.gethostname()}"
    return {"who": who, "command": typed, **({"action": action} if action else {})}
