"""``deploy/<name>/`` of a module: how it is deployed to its client's hosts, read and checked."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import DamagedFileError, RefusedError
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.base.names import ModuleNames, did_you_mean
from dagster_module_builder.deploy.connection.address import Address, parts_of
from dagster_module_builder.deploy.connection.ssh_config import refuse_commands
from dagster_module_builder.deploy.model import host_secrets, host_settings
from dagster_module_builder.deploy.model.host_settings import ENV, EXAMPLE
from dagster_module_builder.deploy.model.schema import carried_out, problem_with
from dagster_module_builder.modules.module import is_path, lies_outside, locate, refuse_several
from dagster_module_builder.shared_files.formats import env_file
from dagster_module_builder.shared_files.formats.yaml_text import loaded
from dagster_module_builder.transactions import module_files

DEPLOYMENTS = "deploy"
FILE = "deployment.yaml"
#: The placeholder in an example for a value that has to be filled in.
FILL_IN = "change-me"
KNOWN_HOSTS = "known_hosts"
SCHEMA = "deployment.schema.json"
GUIDE = "DEPLOYMENT.md"

DEFAULT_KEEP = 5

_NAME = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")


@dataclass(frozen=True)
class DeploymentHost:
    """One host of a deployment.

    Attributes:
        address: Its address for SSH.
        base_path: The folder on it.
        url: The address of its Dagster, on the host itself.
        python: The interpreter that runs the host's side of a conversation; None to look for one.
        environment_python: The interpreter of its environments, if it is not the deployment's.
        groups: The groups that it is in.
        variables: Its own values of variables: a text, or ``from``: the variable of ``.env.deploy`` with the value.
    """

    address: Address
    base_path: str
    url: str
    python: str | None = None
    environment_python: str | None = None
    groups: tuple[str, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)

    def is_named(self, name: str) -> bool:
        """Tell whether a person means this host by a name, or by a group that it is in."""
        return name in {self.address.host, str(self), *self.groups}

    def __str__(self) -> str:
        return str(self.address)


@dataclass(frozen=True)
class Deployment:
    """A deployment of one module, as its files say.

    Attributes:
        folder: ``deploy/<name>`` in the module.
        data: ``deployment.yaml``, checked.
        preview_name: The name of the preview of a branch that this is; None for the deployment of that file itself.
    """

    folder: Path
    data: Mapping[str, Any]
    preview_name: str | None = None
    _fetched: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    _fetching: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def module(self) -> Path:
        """The module's folder."""
        return self.folder.parent.parent

    @property
    def names(self) -> ModuleNames:
        """The module's names."""
        return ModuleNames(str(self.data["module"]))

    @property
    def name(self) -> str:
        """The deployment's name."""
        return str(self.data["deployment"])

    @property
    def strategy(self) -> str:
        """The strategy that makes releases: the one that is named, or the one that its pipeline carries out."""
        return carried_out(self.data) or str(self.data["strategy"])

    @property
    def pipeline(self) -> Mapping[str, Any] | None:
        """The section of the strategy whose pipeline starts deployments; None if people start them."""
        return self.data[self.data["strategy"]] if carried_out(self.data) else None

    @property
    def own(self) -> Mapping[str, Any]:
        """The section of the strategy that makes releases."""
        section = self.data.get(self.strategy)
        return section if isinstance(section, dict) else {}

    @property
    def known_hosts(self) -> Path:
        """The file with the pinned keys."""
        return self.folder / KNOWN_HOSTS

    @property
    def hosts(self) -> list[DeploymentHost]:
        """Every host, with its own values and those of the deployment."""
        identity, config = self.identity_file, self._ssh_config()
        # OpenSSH reads the file, too, and would wait for a FIFO.
        module_files.read(self.module, self.known_hosts)
        return [self._host(host_entry(entry), identity, config) for entry in self.data["hosts"]]

    @property
    def host_for_previews(self) -> DeploymentHost | None:
        """The host for previews of branches, whose key is pinned with the others'; None without one."""
        section = self.data.get("preview")
        return self._host(host_entry(section["host"]), self.identity_file, self._ssh_config()) if section else None

    @property
    def host_names(self) -> list[str]:
        """The hosts as a person knows them, with the port if there is one; no file of keys or settings is read."""
        entries = map(host_entry, self.data["hosts"])
        return [f"{entry['host']}:{entry['port']}" if entry.get("port") else str(entry["host"]) for entry in entries]

    def _host(self, entry: Mapping[str, Any], identity: str | None, config: str | None) -> DeploymentHost:
        user = entry.get("user") or self.data.get("user")
        return DeploymentHost(
            Address(entry["host"], self.known_hosts, entry.get("port"), user, identity, config),
            str(entry.get("base_path") or self.data["base_path"]).rstrip("/") or "/",
            str(entry.get("url") or self.data["dagster"]["url"]),
            entry.get("python") or self.data.get("python"),
            # Environments for a Dagster in containers are made in a container, by its interpreter.
            None if self.kind == "compose" else entry.get("python"),
            tuple(entry.get("groups") or ()),
            entry.get("variables") or {},
        )

    @property
    def identity_file(self) -> str | None:
        """The private key; None in a pipeline, which has its key in an agent and not in a user's file."""
        named = (self.data.get("ssh") or {}).get("identity_file")
        is_elsewhere = named and self.pipeline and not settings.expanded(named).is_file()
        return None if is_elsewhere else named

    def _ssh_config(self) -> str | None:
        """Return the SSH configuration, which may be committed beside ``deployment.yaml``.

        Raises:
            DamagedFileError: A committed one says more than where hosts are.
        """
        named = (self.data.get("ssh") or {}).get("config")
        if not named:
            return None
        beside = self.folder / named
        is_beside = not Path(named).is_absolute() and module_files.read(self.module, beside) is not None
        path = beside if is_beside else settings.expanded(named)
        if not settings.expanded(named).is_absolute() or path.resolve().is_relative_to(self.module.resolve()):
            refuse_commands(path)
        return str(path)

    @property
    def kind(self) -> str:
        """How the host's Dagster runs: ``native`` or ``compose``."""
        return str(self.data["dagster"].get("kind", "native"))

    @property
    def dagster_folder(self) -> str:
        """The folder below the base path that Dagster runs in."""
        return str(self.data["dagster"].get("folder", ".")).rstrip("/")

    @property
    def environment(self) -> Mapping[str, Any]:
        """The environment that the code runs in: its ``kind`` and ``python``."""
        return {"kind": "venv", "python": "python3", **(self.data.get("environment") or {})}

    @property
    def source(self) -> str:
        """The folder in the module that Python imports from."""
        return str(self.data.get("source", "src"))

    @property
    def keep(self) -> int:
        """The number of good releases to keep."""
        return int(self.data.get("keep", DEFAULT_KEEP))

    def env_text(self, *, fetch: bool = True) -> bytes:
        """Return the settings and secrets of the hosts.

        Args:
            fetch: Fetch the values that commands give; only for what may run the module's code.

        Raises:
            RefusedError: The file is missing, or others may read it.
            DamagedFileError: Compose and Dagster would read a value differently, or the file of a value cannot be used.
        """
        text = self.settings_text(fetch=fetch)
        return host_settings.without(text, self.variables_of_some | self._variables_of_previews(text))

    def env_on(self, host: DeploymentHost, text: bytes, *, fetch: bool = True) -> bytes:
        """Return settings with the host's own values of variables.

        Args:
            host: The host.
            text: The settings, as ``env_text`` returned them.
            fetch: Fetch the values that commands give.

        Raises:
            RefusedError: A variable has no value, or none that Dagster and Compose read alike.
        """
        if not host.variables:
            return text
        known = env_file.values(self.settings_text(fetch=fetch))
        values = {}
        for name, entry in host.variables.items():
            value = entry if isinstance(entry, str) else known.get(entry["from"])
            if value is None:
                raise RefusedError(f"{self.folder / ENV}: {entry['from']} has no value yet: fill it in.")
            values[name] = value
        return host_settings.with_values(self.folder / FILE, text, values)

    def _variables_of_previews(self, text: bytes) -> set[str]:
        """Return the variables that are for previews alone."""
        is_production = "preview" in self.data and self.preview_name is None
        return host_settings.preview_variables(text) if is_production else set()

    def settings_text(self, *, fetch: bool = True) -> bytes:
        """Return all of ``.env.deploy``; it raises as ``env_text`` does.

        Args:
            fetch: Fetch the values that commands give, once for this object.
        """
        text = host_settings.read(self.folder)
        if self.preview_name is not None:
            shares = self.data["preview"].get("shares") or ()
            text = host_settings.settings_of_preview(text, shares, self.preview_name)
        if not fetch:
            return text
        with self._fetching:
            return host_secrets.with_fetched(self.folder / ENV, text, self._fetched)

    @property
    def fetches(self) -> bool:
        """Whether values of ``.env.deploy`` are fetched by commands on this machine."""
        text = module_files.read(self.module, self.folder / ENV) or b""
        return any(True for _ in host_secrets.fetched_entries(text))

    @property
    def receivers_variables(self) -> set[str]:
        """The variables of ``.env.deploy`` that receivers of notifications need; hosts do not get them."""
        entries = self.data.get("notifications") or ()
        return {entry[key] for entry in entries for key in ("webhook", "password") if key in entry}

    @property
    def variables_of_some(self) -> set[str]:
        """The variables of ``.env.deploy`` that only receivers of notifications or some hosts need."""
        own = [value for entry in self._host_variables for value in entry.values()]
        return self.receivers_variables | {value["from"] for value in own if not isinstance(value, str)}

    @property
    def _host_variables(self) -> list[Mapping[str, Any]]:
        """Each host's own variables, as they are written."""
        return [host_entry(entry).get("variables") or {} for entry in self.data["hosts"]]

    @property
    def variables_of_hosts(self) -> set[str]:
        """The variables that each host has its own value of."""
        return set.intersection(*map(set, self._host_variables))


def host_entry(entry: str | Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a host's entry as a mapping: ``"ada@a:22" -> {"host": "a", "port": 22, "user": "ada"}``."""
    if not isinstance(entry, str):
        return entry
    user, host, port = parts_of(entry)
    return {"host": host, "port": port, "user": user}


def read_deployment(folder: Path) -> Deployment:
    """Read and check a deployment.

    Raises:
        DamagedFileError: ``deployment.yaml`` does not match its schema.
    """
    path = folder / FILE
    data = loaded(path, module_files.read(folder.parent.parent, path) or b"", "Fix that line.")
    if problem := problem_with(data):
        raise DamagedFileError(path, None, problem, f"Fix it; {SCHEMA} describes the file.")
    if data["module"] != folder.parent.parent.name or data["deployment"] != folder.name:
        mismatch = f"it is for deployment {data['deployment']!r} of {data['module']!r}"
        raise DamagedFileError(path, None, mismatch, "Use the names of the folders that it is in.")
    return Deployment(folder, data)


def deployments_of(module: Path) -> list[Path]:
    """Return the folders of a module's deployments."""
    folder = module / DEPLOYMENTS
    return sorted(path.parent for path in folder.glob(f"*/{FILE}")) if folder.is_dir() else []


def all_deployments(root: Path) -> list[Path]:
    """Return the folders of the deployments of every module of a workspace."""
    return [folder for module in layout_of(root).in_module_folders() for folder in deployments_of(module)]


def find(root: Path, name: str, modules: Sequence[str] = ()) -> list[Deployment]:
    """Return a deployment by its name: of every module of a workspace that has it, or of those named.

    Args:
        root: The workspace's root.
        name: The deployment's name.
        modules: The modules' names, or paths to their folders, which may lie anywhere.

    Raises:
        NoModuleError: There is no folder at a path.
        RefusedError: No module has it, or one of those named does not.
    """
    if not _NAME.fullmatch(name):
        raise RefusedError(f"{name!r} cannot be a deployment's name: use lower-case letters, digits and '-'.")
    by_path = {module: locate(root, module) for module in modules if is_path(module)}
    elsewhere = {module: path for module, path in by_path.items() if lies_outside(root, module)}
    modules = [by_path[module].name if module in by_path and module not in elsewhere else module for module in modules]
    folders_of = _by_module(root, name, modules, [path for module, path in by_path.items() if module not in elsewhere])
    folders_of |= {module: path / DEPLOYMENTS / name for module, path in elsewhere.items() if _has(path, name)}
    lacking = [module for module in modules if module not in folders_of]
    if lacking or not folders_of:
        known = sorted({folder.name for folder in all_deployments(root)})
        raise RefusedError(
            f"No deployment {name!r} of {', '.join(lacking) or 'any module'} in {layout_of(root).named_module_folders}."
            f"{did_you_mean(name, [other for other in known if other != name])} "
            f"Existing ones: {', '.join(known) or 'none'}. Make one with 'configure-deployment MODULE', or name a "
            f"module elsewhere with --module PATH."
        )
    return [read_deployment(folder) for module, folder in folders_of.items() if not modules or module in modules]


def _by_module(root: Path, name: str, modules: Sequence[str], chosen: Sequence[Path]) -> dict[str, Path]:
    """Return the folders of a workspace's deployments of one name, by module; ``chosen`` says which of two it is.

    Raises:
        RefusedError: Two of the asked modules have one name, and it is not said which one is meant.
    """
    every = [folder for folder in all_deployments(root) if folder.name == name]
    said = {path.name: path.resolve() for path in chosen}
    meant = [folder for folder in every if said.get(_module(folder).name) in {None, _module(folder).resolve()}]
    for module in modules or sorted({_module(folder).name for folder in meant}):
        refuse_several([_module(folder) for folder in meant if _module(folder).name == module], "--module ")
    return {_module(folder).name: folder for folder in meant}


def _module(folder: Path) -> Path:
    return folder.parent.parent


def _has(module: Path, name: str) -> bool:
    return (module / DEPLOYMENTS / name / FILE).is_file()


def standing_in(folder: Path, root: Path, name: str) -> Path | None:
    """Return the module that a folder is in, if it is outside a workspace and has the deployment; None if not.

    Args:
        folder: The current folder.
        root: The workspace's root.
        name: The deployment's name.
    """
    module = next((path for path in (folder, *folder.parents) if _has(path, name)), None)
    return None if module is None or layout_of(root).holds(module) else module


def lacking_settings(deployment: Deployment, settings: Mapping[str, str]) -> list[str]:
    """Return the settings that ``.env.deploy`` lacks: the example has them, or a host takes its own value from them."""
    path = deployment.folder / EXAMPLE
    example = env_file.values(module_files.read(deployment.module, path) or b"")
    for name in deployment.variables_of_some | deployment.variables_of_hosts:
        example.pop(name, None)
    missing = [name for name in example if name not in settings]
    if sources := deployment.variables_of_some - deployment.receivers_variables:
        known = env_file.values(deployment.settings_text(fetch=False))
        missing += sorted(name for name in sources if not known.get(name))
    empty = [name for name, value in example.items() if value == FILL_IN and settings.get(name) in {"", FILL_IN}]
    lacking = list(dict.fromkeys([*missing, *empty]))
    if deployment.preview_name is not None:
        return [
            f"{deployment.folder / ENV}: previews have no {name}: add {host_settings.PREVIEW}{name}, or name it in "
            f"'shares:' below 'preview:' in {FILE} if they may have production's."
            for name in lacking
        ]
    return [f"{deployment.folder / ENV}: {name} has no value yet: fill it in." for name in lacking]
