"""The connection to one host, and what the host said about itself."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.deploy.connection.conversation import Conversation
from dagster_module_builder.deploy.connection.remote import Remote
from dagster_module_builder.deploy.hosts import host_environment, host_files, host_storage
from dagster_module_builder.deploy.hosts.host_location import CodeServer
from dagster_module_builder.deploy.hosts.host_release import Release
from dagster_module_builder.deploy.hosts.host_requests import SERVER_PORT, WEBSERVER, server_name
from dagster_module_builder.deploy.hosts.targets import Target
from dagster_module_builder.deploy.model.deployment import Deployment
from dagster_module_builder.shared_files.formats import env_file

#: Told which host is in which step.
Progress = Callable[[str, str], None]


@dataclass
class HostSession:
    """The conversation with one host, and what it has found out so far.

    Attributes:
        target: The host and its deployments.
        progress: Told which step the host is in.
        remote: The connection.
        conversation: Requests and answers over it.
        inspection: The host's state, as ``inspect`` returned it.
        begun: The modules that the rollout has begun to change.
        notes: Notes for the user.
        problems: What failed after the change was complete.
        seconds: How long some steps took.
        servers: The new code servers, by module.
        storage: Where assets will be stored, if that is known.
        hook_log: By module, what hooks said that the host's log does not have yet.
        automation: The schedules and sensors that are new or renamed, as ``keep`` returned them.
        defined: By module, the definitions before the change, where they are compared.
    """

    target: Target
    progress: Progress
    remote: Remote = field(init=False)
    conversation: Conversation = field(init=False)
    inspection: dict[str, Any] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    servers: dict[str, dict[str, Any]] = field(default_factory=dict)
    storage: host_storage.HostStorage | None = None
    hook_log: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    automation: Mapping[str, Any] = field(default_factory=dict)
    defined: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.remote = Remote(self.target.host.address)
        self.conversation = Conversation(self.remote, self.report, self.target.host.python)

    def report(self, step: str) -> None:
        """Report the step that the host is in."""
        self.progress(str(self.target), step)

    def close(self) -> None:
        """End the conversation; the host undoes unfinished work, and frees its lock."""
        self.conversation.close()
        self.remote.close()

    def reach(self, *, bulk: bool) -> None:
        """Begin to open the connections in the background, since that takes a dozen round trips.

        The host also begins to hash its current releases.
        """
        self.report("connect")
        if bulk:
            self.remote.prepare_bulk()
        modules = self.target.modules
        self.conversation.begin(("expect", {"base": self.target.host.base_path, "modules": modules}))

    def inspect(
        self,
        modules: Sequence[str],
        tools: Sequence[str] = (),
        holder: Mapping[str, Any] | None = None,
        wait: float = 0.0,
    ) -> dict[str, Any]:
        """Open the conversation and return the host's state; with a holder, take the lock."""
        self.open_with([("open", self.opening(modules, tools, holder, wait))])
        return self.inspection

    def open_with(self, requests: list[tuple[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
        """Open the conversation with several requests in one round trip; return all answers but the first."""
        self.report("connect")
        self.conversation.open()
        self.inspection, *answers = self.conversation.ask_all(requests)
        self.notes += self.inspection["recovered"]
        return answers

    def opening(
        self, modules: Sequence[str], tools: Sequence[str], holder: Mapping[str, Any] | None, wait: float
    ) -> dict[str, Any]:
        """Return the values of the first request, ``open``."""
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
        return str(self.inspection["base"])

    def files(self) -> dict[str, bytes | None]:
        """Return the bytes of the host's shared files."""
        held = self.inspection["files"]
        return {path: None if text is None else base64.b64decode(text) for path, text in held.items()}

    def state(self, module: str) -> dict[str, Any]:
        """Return a module's state: its current and previous release, since when, and by whom."""
        state: dict[str, Any] = self.inspection["modules"][module]["state"]
        return state

    def inside(self, *parts: str) -> str:
        """Return a path below the base as the host's Dagster sees it."""
        base = self.target.first.data["dagster"].get("base_inside") or self.base
        return str(PurePosixPath(base, *parts))

    def on_host(self, *parts: str) -> str:
        """Return a path below the base on the host."""
        return str(PurePosixPath(self.base, *parts))

    def refuse_unready(self) -> None:
        """Refuse a host that cannot be deployed to."""
        host = str(self.target)
        lacking = [name for name, path in self.inspection["tools"].items() if path is None]
        if lacking:
            raise RefusedError(f"{host}: {', '.join(lacking)} is not installed on the host: install it.")
        if self.inspection.get("docker"):
            raise RefusedError(
                f"{host}: Docker cannot be used by {self.inspection['user']!r}: {self.inspection['docker']}"
            )
        if not self.inspection["writable"]:
            raise RefusedError(f"{host}: {self.inspection['user']!r} may not write to {self.base}/modules.")
        if mounted := ", ".join(self.inspection.get("mounted", [])):
            raise RefusedError(
                f"{host}: {mounted} is mounted as a single file and cannot be replaced: mount its folder."
            )
        if error := self.inspection["dagster"].get("error"):
            start = f"Run 'deploy.setup {self.target.first.name} --start'" if self.has_service else "Start it"
            raise RefusedError(f"{host}: {error} {start}, then deploy again.")

    def environment(self, release: Release) -> str | None:
        """Return the environment of a release on this host; None if it runs in the host's own, or in an image."""
        environments = self.inspection["modules"][release.module]["environments"]
        return host_environment.environment(self.target, release, self.inspection["interpreters"], environments)

    def has_environment(self, module: str, environment: str) -> bool:
        """Tell whether an environment is complete on the host, and its interpreter still exists."""
        environments = self.inspection["modules"][module]["environments"]
        # The host does not see a container's interpreter.
        return environment in environments and (self.where is not None or environments[environment] is not None)

    def environment_python(self, deployment: Deployment) -> str:
        """Return the interpreter for environments, or the host's own Dagster's."""
        return host_environment.interpreter(self.target, deployment.environment)

    def python(self, deployment: Deployment, environment: str | None) -> str:
        """Return the interpreter of a release, as Dagster sees it."""
        if environment is None:
            return self.environment_python(deployment)
        return self.inside("modules", deployment.names.name, "venvs", environment, "bin", "python")

    @property
    def has_service(self) -> bool:
        """Whether ``deploy.setup --start`` made the Dagster of this host."""
        return bool((self.inspection.get("service") or {}).get("made"))

    @property
    def is_preview(self) -> bool:
        """Whether its Dagster is that of a branch's preview, which has no daemon."""
        return self.target.first.preview_name is not None

    @property
    def own_tools(self) -> set[str]:
        """The programs needed to reach the host's Dagster."""
        return {"docker"} if self.target.first.kind == "compose" else set()

    @property
    def where(self) -> dict[str, Any] | None:
        """How to get into Dagster's container on the host; None if Dagster runs on the host itself."""
        if self.target.first.kind != "compose":
            return None
        folder = self.on_host(self.target.first.dagster_folder)
        return {
            "prefix": ["docker", "compose", "--project-directory", folder, "exec", "-T"],
            "service": self.target.first.data["dagster"].get("service") or WEBSERVER,
            "inside": self.inside(),
        }

    def room_lacking(self, need: int) -> str | None:
        """Return that the host has too little free space; None if it has enough.

        Args:
            need: The bytes needed.
        """
        available = int(self.inspection["disk"]["bytes"])
        lacking = f"{self.target}: {self.base} has {available >> 20} MiB free, but {need >> 20} MiB are needed."
        return lacking if available < need else None

    def settings(self) -> tuple[str, bytes]:
        """Return the path and the text of the host's ``.env``."""
        path = host_files.paths(self.target.first.dagster_folder)[env_file.NAME]
        return self.on_host(path), self.files().get(path) or b""

    @property
    def storage_place(self) -> str:
        """Where the host's modules store assets: a folder, or an address of object storage."""
        if self.storage:
            return self.storage.place
        return host_storage.present(self.settings()[1], self.inspection["storage"] or {"told": None})

    @property
    def storage_folder(self) -> str:
        """The folder of the host in which code servers store assets."""
        return self.storage_place if self.storage_place.startswith("/") else self.on_host(host_storage.FOLDER)

    def server_of(self, deployment: Deployment, identity: str) -> CodeServer:
        """Return a release's code server: the new one, or the one that would be started."""
        module = deployment.names.name
        if server := self.servers.get(module):
            return CodeServer(server["name"], server["host"], server["port"])
        name = server_name(module, identity)
        if deployment.kind == "compose":
            return CodeServer(name, name, SERVER_PORT)
        return CodeServer(name, "127.0.0.1", self.conversation.ask("port")["port"])

    def database(self, module: str) -> dict[str, Any] | None:
        """Return the database of a module's current release, if it is a service of the host's Compose project."""
        known = self.inspection["modules"][module]
        record: dict[str, Any] = known["releases"].get(known["state"].get("current"), {})
        return record.get("database")
