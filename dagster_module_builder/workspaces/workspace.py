"""The workspace on disk: its shared files and its registry, read together."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from dagster_module_builder.base.errors import BuilderError, NoWorkspaceError, RefusedError
from dagster_module_builder.base.layout import SERVERS, WorkspaceLayout, layout_of, missing
from dagster_module_builder.claims.facts import Facts, facts_of_workspace
from dagster_module_builder.compose.compose_project import project_of
from dagster_module_builder.compose.project_files import read_project
from dagster_module_builder.compose.stack import Stack, services_with_code
from dagster_module_builder.fitting.paths import ModulePaths
from dagster_module_builder.fitting.target_workspace import TargetWorkspace
from dagster_module_builder.fitting.without_containers import NativeWorkspace
from dagster_module_builder.fragment_rules import references
from dagster_module_builder.modules.module import read_module
from dagster_module_builder.shared_files.blocks import Layout
from dagster_module_builder.shared_files.formats import (
    compose,
    dagster_yaml,
    dg_toml,
    dockerfile,
    env_file,
    workspace_yaml,
)
from dagster_module_builder.shared_files.formats.outline import UnsafeEditError, outline_of
from dagster_module_builder.shared_files.formats.shared_file import SharedFile
from dagster_module_builder.shared_files.merge import open_layout, unsafe
from dagster_module_builder.shared_files.registered_file import RegisteredFile
from dagster_module_builder.shared_files.sealing import KEY_SIZE, Seal, new_key
from dagster_module_builder.transactions.plan import SECRET_MODE
from dagster_module_builder.transactions.reading import reading
from dagster_module_builder.transactions.registry import ModuleEntry, Registry, parse_registry

#: The shared files, in the order in which they are shown and written.
SHARED_FILES: dict[str, SharedFile] = {
    kind.name: kind
    for kind in (workspace_yaml.FILE, dg_toml.FILE, env_file.FILE, compose.FILE, dockerfile.FILE, dagster_yaml.FILE)
}

#: What stands in the blocks of a marker, by file and slot.
Bodies = dict[tuple[str, tuple[str, ...]], tuple[bytes, ...]]

#: The Dockerfile of a code server, in the registry.
_SERVER_FILE = re.compile(rb'"(' + SERVERS.encode() + rb'/\w+\.Dockerfile)"')

MODES = {env_file.NAME: SECRET_MODE}

#: The shared files that hold secrets: the registry, which is committed, remembers nothing that they can be guessed by.
_SECRET = (env_file.NAME,)


@dataclass(frozen=True)
class Workspace:
    """A workspace as it was read at one moment.

    Attributes:
        root: Its root.
        files: The bytes of its shared files; None where one is absent.
        registry_bytes: The bytes of its registry.
        chosen_services: The services that run code, where a person named them.
        key: The secret that seals what the registry remembers of secrets.
        allowances: What a person allows by this command, by module, beside what the registry remembers.
        own_servers: The modules that get an own code server by this command, beside those that the registry remembers.
    """

    root: Path
    files: Mapping[str, bytes | None]
    registry_bytes: bytes | None
    chosen_services: tuple[str, ...] = ()
    key: bytes = field(default_factory=new_key, repr=False)
    allowances: Mapping[str, Sequence[str]] = field(default_factory=dict)
    own_servers: tuple[str, ...] = ()

    @cached_property
    def layout(self) -> WorkspaceLayout:
        """Where its files are."""
        return layout_of(self.root)

    def paths_of(self, module: Path) -> ModulePaths:
        """Return where this workspace has what a module's fragments name."""
        return replace(self._paths, name=module.name, folder=_below(self.root, module))

    @cached_property
    def _paths(self) -> ModulePaths:
        start = self.layout.compose_folder if self.layout.has_compose else self.layout.dagster_folder
        compose_folder, env = (_below(self.root, path) for path in (start, self.layout.env_file))
        return ModulePaths("", "", compose_folder, env)

    @cached_property
    def kinds(self) -> dict[str, SharedFile]:
        """The formats of its shared files, in the order in which these are shown and written."""
        return {file: kind_of(file) for file in self.files}

    def with_files(self, files: Iterable[str]) -> Workspace:
        """Return the workspace with these files, which may not exist yet, among its shared files."""
        new = {file: None for file in files if file not in self.files and file.startswith(f"{SERVERS}/")}
        served = {**{file: text for file, text in self.files.items() if file.startswith(f"{SERVERS}/")}, **new}
        # In the order of a workspace that is read again.
        others = {file: text for file, text in self.files.items() if file not in served}
        return replace(self, files={**others, **dict(sorted(served.items()))}) if new else self

    @cached_property
    def registry(self) -> Registry:
        """The registry, with what earlier versions did not seal sealed."""
        registry = parse_registry(self.layout.registry, self.registry_bytes)
        for file in _SECRET:
            registry = registry.sealed(file, Seal(self.key), partial(self._digest_of_fragment, file))
        return registry

    def _digest_of_fragment(self, file: str, entry: ModuleEntry) -> str | None:
        """Return the digest of what a module gives to a file of plain lines; None where it gives nothing."""
        with contextlib.suppress(BuilderError, UnsafeEditError, OSError):
            fragment = read_module(self.root / entry.path).fragments.get(file, b"")
            return next(
                (digest for contribution in env_file.contributions(fragment) for digest in contribution.digests), None
            )
        return None

    def path(self, file: str) -> Path:
        """Return where a shared file is."""
        return self.layout.path_of(file)

    @cached_property
    def known(self) -> dict[str, RegisteredFile]:
        """What the registry remembers of each shared file."""
        seal = Seal(self.key)
        return {file: self.registry.known(file, seal if file in _SECRET else None) for file in self.kinds}

    @cached_property
    def layouts(self) -> dict[str, Layout]:
        """Each shared file taken apart; to be copied before it is edited."""
        return {
            file: open_layout(self.path(file), kind, self.files[file] or b"", self.known[file])
            for file, kind in self.kinds.items()
        }

    @cached_property
    def bodies(self) -> dict[str, Bodies]:
        """The bodies of each marker's blocks, by file and slot."""
        bodies: dict[str, Bodies] = {}
        for file, kind in self.kinds.items():
            blocks = self.layouts[file].blocks()
            for (_, block), slot in zip(blocks, kind.slots_of(self.layouts[file], blocks), strict=True):
                bodies.setdefault(block.marker, {})[file, slot] = block.body
        return bodies

    def own_text(self, file: str) -> bytes:
        """Return the lines of a shared file that are its owner's; none if the workspace has no such file."""
        return b"".join(self.layouts[file].own) if file in self.layouts else b""

    def _own_data(self, file: str) -> object:
        layout = self.layouts.get(file, Layout([]))
        try:
            return outline_of(layout.own).load()
        except UnsafeEditError as error:
            raise unsafe(self.path(file), layout.line_number(error.position), error.reason) from None

    @cached_property
    def instance_settings(self) -> Mapping[str, Any] | None:
        """What ``dagster.yaml`` says of the instance; None where there is no such file, or it is no mapping."""
        data = self._own_data(dagster_yaml.NAME) if self.files.get(dagster_yaml.NAME) is not None else None
        return data if isinstance(data, dict) else None

    @cached_property
    def compose_data(self) -> object:
        """The owner's part of the compose file, as data."""
        return self._own_data(compose.NAME)

    @cached_property
    def facts(self) -> Facts:
        """What the owner's lines claim."""
        return facts_of_workspace(self.compose_data, self._own_data(workspace_yaml.NAME), self.own_text(env_file.NAME))

    @cached_property
    def own_env(self) -> dict[str, str]:
        """The variables that the owner's lines of ``.env`` set."""
        return env_file.values(self.own_text(env_file.NAME))

    @cached_property
    def around_fragments(self) -> references.WorkspaceNames:
        """What of it a module's fragments could take, or take over."""
        text = self.own_text(compose.NAME).decode("utf-8", "replace")
        return references.WorkspaceNames(
            anchors={name for name, _ in references.anchors_of(text)},
            variables=set(env_file.keys(self.files[env_file.NAME] or b"")),
            uses=references.used_in(text) - self.own_env.keys(),
        )

    @cached_property
    def stack(self) -> Stack:
        """The compose project that the owner's lines describe."""
        data = self.compose_data if isinstance(self.compose_data, dict) else {}
        env = self._absolute[env_file.NAME]
        if not self.layout.has_compose:
            return Stack(self.layout.dagster_folder, {}, self.own_env, self._read_own, env)
        project = project_of(self.root)
        if (project.found != [project.main] or "include" in data) and project.reads_main:
            stack = read_project(project.found, self._read_own).stack
            return replace(stack, env=self.own_env, env_file=env)
        return Stack(project.folder, data, self.own_env, self._read_own, env)

    def _read_own(self, path: Path) -> bytes | None:
        """Read a file that the compose project names, without what the modules gave."""
        for file, shared in self._absolute.items():
            if path == shared:
                return None if self.files[file] is None else self.own_text(file)
        return _read(path)

    @cached_property
    def _absolute(self) -> dict[str, Path]:
        return {file: Path(os.path.normpath(path.absolute())) for file, path in self.layout.shared_files.items()}

    @cached_property
    def code_services(self) -> list[str]:
        """The services that run modules' code; none without containers.

        Raises:
            RefusedError: It cannot be seen which they are.
        """
        if not self.layout.has_compose:
            return []
        chosen = self.chosen_services or self.registry.code_services or self.layout.code_services
        if unknown := [name for name in chosen if name not in self.stack.services]:
            raise RefusedError(f"{self.path(compose.NAME)} has no service {unknown[0]!r}: {self._services}")
        running_code, unclear = services_with_code(self.stack)
        if not chosen and unclear:
            raise RefusedError(
                f"{self.path(compose.NAME)}: it is not clear whether {' and '.join(unclear)}, which have the image of "
                f"{' and '.join(running_code)}, run code. Name every service that runs code with --code-service NAME"
            )
        if not chosen and not running_code:
            raise RefusedError(
                f"{self.path(compose.NAME)}: no service seems to run Dagster's webserver or daemon. "
                f"Name every service that runs code with --code-service NAME. {self._services}"
            )
        return [name for name in self.stack.services if name in (chosen or running_code)]

    def has_own_server(self, name: str) -> bool:
        """Return whether a person chose an own code server for a module."""
        entry = self.registry.find(name)
        return name in self.own_servers or (entry is not None and entry.code_server == "own")

    @property
    def _services(self) -> str:
        return f"There are: {', '.join(self.stack.services) or 'none'}."

    @property
    def without_containers(self) -> NativeWorkspace:
        """What modules are fitted into where Dagster runs without containers."""
        layout = self.layout
        listed = dg_toml.NAME if layout.is_dg else workspace_yaml.NAME
        root, file, env = (
            Path(os.path.normpath(path.absolute())) for path in (self.root, layout.workspace_file, layout.env_file)
        )
        data = None if layout.is_dg else self._own_data(listed)
        return NativeWorkspace(root, file, layout.is_dg, self.own_text(listed), data, env)

    @cached_property
    def as_target(self) -> TargetWorkspace:
        """What modules are fitted into.

        Raises:
            RefusedError: It cannot be seen which services run code.
        """
        services = [self.stack.services[name] for name in self.code_services]
        env: dict[str, str] = {}
        for service in services:
            env |= {**service.env_files, **service.environment}
        instance = self._own_data(dagster_yaml.NAME)
        launcher = dagster_yaml.launcher(instance, env)
        locations = self._own_data(workspace_yaml.NAME)
        root, folder = (Path(os.path.normpath(path.absolute())) for path in (self.root, self.layout.compose_folder))
        return TargetWorkspace(
            root,
            folder,
            self.stack,
            self.code_services,
            launcher,
            self._absolute,
            locations,
            instance,
            Path(os.path.normpath(self.layout.servers.absolute())),
        )


def _below(root: Path, path: Path) -> str:
    """Return a path relative to the root, through no link where that can be told without asking the disk."""
    below = os.path.relpath(path, root)
    return below if not below.startswith("..") else os.path.relpath(path.resolve(), root.resolve())


def kind_of(file: str) -> SharedFile:
    """Return the format of a shared file: only Dockerfiles have other names than those of ``SHARED_FILES``."""
    return SHARED_FILES.get(file, dockerfile.FILE)


def read_workspace(root: Path) -> Workspace:
    """Read a workspace.

    Raises:
        DamagedFileError: The file that says where its files are cannot be read, or names one that is missing.
        NoWorkspaceError: There is none at this root.
        RefusedError: A folder is in place of a file.
    """
    layout = layout_of(root)
    # Without these there is nothing that a module could be added to.
    for path in (layout.workspace_file, *([layout.compose_file] if layout.has_compose else [])):
        if not path.is_file():
            raise missing(layout, path) if layout.written else NoWorkspaceError(root)
    for path in layout.shared_files.values():
        if path.is_dir():
            raise RefusedError(f"{path} is a folder, not a file. Move it away.")
    registry = _read(layout.registry)
    names = {*layout.shared_files, *(name.decode() for name in _SERVER_FILE.findall(registry or b""))}
    in_order = [*layout.shared_files, *sorted(names - layout.shared_files.keys())]
    files = {file: _read(layout.path_of(file)) for file in in_order}
    return Workspace(root, files, registry, key=_key(root))


def _key(root: Path) -> bytes:
    """Return the workspace's secret; one for now only where this user cannot read it, or a clone has none yet."""
    # Anything else that fails is no answer: sealed with another key, the registry would be another one.
    with contextlib.suppress(FileNotFoundError, PermissionError):
        key = layout_of(root).key.read_bytes()
        if len(key) == KEY_SIZE:
            return key
    return new_key()


def look_at(root: Path) -> Workspace:
    """Read a workspace as one commit left it, without writing to it.

    Raises:
        BuilderError: As ``reading`` does.
    """
    return reading(root, lambda: read_workspace(root))


def bodies_of(workspace: Workspace, marker: str) -> Bodies:
    """Return the bodies of a marker's blocks, by file and slot."""
    return workspace.bodies.get(marker, {})


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
