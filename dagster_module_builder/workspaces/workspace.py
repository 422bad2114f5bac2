"""The workspace on disk: its shared files and its registry, read together."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import BuilderError, NoWorkspaceError, RefusedError
from dagster_module_builder.claims.facts import Facts, facts_of_workspace
from dagster_module_builder.compose.stack import Stack, services_with_code
from dagster_module_builder.fitting.target_workspace import TargetWorkspace
from dagster_module_builder.fragment_rules import references
from dagster_module_builder.modules.module import read_module
from dagster_module_builder.shared_files.blocks import Layout
from dagster_module_builder.shared_files.formats import compose, dagster_yaml, dockerfile, env_file, workspace_yaml
from dagster_module_builder.shared_files.formats.outline import OutlineError, outline_of
from dagster_module_builder.shared_files.formats.shared_file import SharedFile
from dagster_module_builder.shared_files.merge import open_layout, unsafe
from dagster_module_builder.shared_files.registered_file import RegisteredFile
from dagster_module_builder.shared_files.sealing import KEY_SIZE, Seal, new_key
from dagster_module_builder.transactions.plan import SECRET_MODE
from dagster_module_builder.transactions.reading import reading
from dagster_module_builder.transactions.registry import ModuleEntry, Registry, parse_registry

#: The shared files, in the order in which they are shown and written.
SHARED_FILES: dict[str, SharedFile] = {
    kind.name: kind for kind in (workspace_yaml.FILE, env_file.FILE, compose.FILE, dockerfile.FILE, dagster_yaml.FILE)
}
#: Without these two there is nothing that a module could be added to.
_NEEDED = (workspace_yaml.NAME, compose.NAME)

#: What stands in the blocks of a marker, by file and slot.
Bodies = dict[tuple[str, tuple[str, ...]], tuple[bytes, ...]]

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
    """

    root: Path
    files: Mapping[str, bytes | None]
    registry_bytes: bytes | None
    chosen_services: tuple[str, ...] = ()
    key: bytes = field(default_factory=new_key, repr=False)
    allowances: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @cached_property
    def registry(self) -> Registry:
        """The registry, with what earlier versions did not seal sealed."""
        registry = parse_registry(self.root / settings.REGISTRY, self.registry_bytes)
        for file in _SECRET:
            registry = registry.sealed(file, Seal(self.key), partial(self._digest_of_fragment, file))
        return registry

    def _digest_of_fragment(self, file: str, entry: ModuleEntry) -> str | None:
        """Return the digest of what a module gives to a file of plain lines; None where it gives nothing."""
        with contextlib.suppress(BuilderError, OutlineError, OSError):
            fragment = read_module(self.root / entry.path).fragments.get(file, b"")
            return next(
                (digest for contribution in env_file.contributions(fragment) for digest in contribution.digests), None
            )
        return None

    def path(self, file: str) -> Path:
        """Return where a shared file is."""
        return self.root / settings.SERVICES / file

    @cached_property
    def known(self) -> dict[str, RegisteredFile]:
        """What the registry remembers of each shared file."""
        seal = Seal(self.key)
        return {file: self.registry.known(file, seal if file in _SECRET else None) for file in SHARED_FILES}

    @cached_property
    def layouts(self) -> dict[str, Layout]:
        """Each shared file taken apart; to be copied before it is edited."""
        return {
            file: open_layout(self.path(file), kind, self.files[file] or b"", self.known[file])
            for file, kind in SHARED_FILES.items()
        }

    @cached_property
    def bodies(self) -> dict[str, Bodies]:
        """The bodies of each marker's blocks, by file and slot."""
        bodies: dict[str, Bodies] = {}
        for file, kind in SHARED_FILES.items():
            blocks = self.layouts[file].blocks()
            for (_, block), slot in zip(blocks, kind.slots_of(self.layouts[file], blocks), strict=True):
                bodies.setdefault(block.marker, {})[file, slot] = block.body
        return bodies

    def own_text(self, file: str) -> bytes:
        """Return the lines of a shared file that are its owner's."""
        return b"".join(self.layouts[file].own)

    def _own_data(self, file: str) -> object:
        layout = self.layouts[file]
        try:
            return outline_of(layout.own).load()
        except OutlineError as error:
            raise unsafe(self.path(file), layout.line_number(error.position), error.reason) from None

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
        folder = Path(os.path.normpath(self.path(compose.NAME).parent.absolute()))
        return Stack(folder, data, self.own_env, self._read_own)

    def _read_own(self, path: Path) -> bytes | None:
        """Read a file that the compose project names, without what the modules gave."""
        is_shared = path.name in SHARED_FILES and path == self.stack.folder / path.name
        if is_shared:
            return None if self.files[path.name] is None else self.own_text(path.name)
        return _read(path)

    @cached_property
    def code_services(self) -> list[str]:
        """The services that run modules' code.

        Raises:
            RefusedError: It cannot be seen which they are.
        """
        chosen = self.chosen_services or self.registry.code_services
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

    @property
    def _services(self) -> str:
        return f"There are: {', '.join(self.stack.services) or 'none'}."

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
        launcher = dagster_yaml.launcher(self._own_data(dagster_yaml.NAME), env)
        locations = self._own_data(workspace_yaml.NAME)
        return TargetWorkspace(self.stack.folder.parent.parent, self.stack, self.code_services, launcher, locations)


def read_workspace(root: Path) -> Workspace:
    """Read a workspace.

    Raises:
        NoWorkspaceError: There is none at this root.
    """
    services = root / settings.SERVICES
    if not all((services / file).is_file() for file in _NEEDED):
        raise NoWorkspaceError(root)
    files = {file: _read(services / file) for file in SHARED_FILES}
    return Workspace(root, files, _read(root / settings.REGISTRY), key=_key(root))


def _key(root: Path) -> bytes:
    """Return the workspace's secret; one for now only where this user cannot read it, or a clone has none yet."""
    # Anything else that fails is no answer: sealed with another key, the registry would be another one.
    with contextlib.suppress(FileNotFoundError, PermissionError):
        key = (root / settings.KEY).read_bytes()
        if len(key) == KEY_SIZE:
            return key
    return new_key()


def look_at(root: Path) -> Workspace:
    """Read a workspace as one commit left it, without writing to it.

    Raises:
        BuilderError: As ``reading`` does.
    """
    return reading(root, lambda _recovered: read_workspace(root))


def bodies_of(workspace: Workspace, marker: str) -> Bodies:
    """Return the bodies of a marker's blocks, by file and slot."""
    return workspace.bodies.get(marker, {})


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
