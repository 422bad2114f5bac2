"""The module that owns a fragment: what it may name, mount and read."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection
from dataclasses import dataclass, field

from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.base.settings import DATA, PROJECTS, SERVICES

#: Any module may use the name of the Compose project, which is not secret.
_PROJECT_NAME = "${COMPOSE_PROJECT_NAME}"
#: Variables that the workspace sets for its modules; none is secret.
_FOR_MODULES = re.compile(r"COMPOSE_PROJECT_NAME|WORKSPACE_(?:UID|GID|NETWORK)|DAGSTER_PORT|TZ|\w+_IMAGE")
#: Where all modules store assets in native workspaces.
_OUTPUTS = f"{DATA.as_posix()}/storage"
_WINDOWS_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True)
class OwnPath:
    """A path in a fragment that must not lead elsewhere through a link.

    Attributes:
        file: The shared file that the fragment is for.
        line: Its line, counted from 1.
        path: The path, relative to the workspace's root.
        variables: How Compose reads it as an env file: ``filled in`` or ``raw``; empty if it is not an env file.
    """

    file: str
    line: int
    path: str
    variables: str = ""


@dataclass(frozen=True)
class Owner:
    """A module with the names from its fragments.

    Attributes:
        name: Its name.
        services: Its Compose services.
        volumes: Its volumes.
        mounted_files: Its Compose secrets and configs.
        variables: The variables that its ``.env`` sets.
        code_servers: Its services that its locations name as code servers.
        paths: The rules add the paths in its fragments here.
    """

    name: str
    services: Collection[str] = ()
    volumes: Collection[str] = ()
    mounted_files: Collection[str] = ()
    variables: Collection[str] = ()
    code_servers: Collection[str] = ()
    paths: list[OwnPath] = field(default_factory=list)

    @property
    def snake(self) -> str:
        """Its name with underscores: ``sales_report``."""
        return ModuleNames(self.name).snake

    @property
    def folder(self) -> str:
        """Its folder, relative to the workspace's root."""
        return f"{PROJECTS.as_posix()}/{self.name}"

    def is_named_after(self, text: str) -> bool:
        """Return whether a name contains the module's name as a whole word: ``"shop_db" -> True``."""
        plain = text.replace(_PROJECT_NAME, "")
        names = "|".join(map(re.escape, {self.name, self.snake}))
        return "$" not in plain and re.search(rf"(?<![A-Za-z0-9])(?:{names})(?![A-Za-z0-9])", plain) is not None

    def may_use(self, variable: str) -> bool:
        """Return whether a variable is the module's, or one that the workspace sets for modules."""
        own = variable in self.variables or variable.startswith(f"{ModuleNames(self.name).env_prefix}_")
        return own or _FOR_MODULES.fullmatch(variable) is not None

    def owns(self, path: str) -> bool:
        """Return whether a path, relative to the workspace's root, is the module's folder or in it."""
        return path == self.folder or path.startswith(f"{self.folder}/")

    def may_mount(self, path: str) -> bool:
        """Return whether a path, relative to the workspace's root, may be mounted: the module's, or in ``data/``."""
        is_output = f"{path}/".startswith(f"{_OUTPUTS}/")
        is_own_output = f"{path}/".startswith(f"{_OUTPUTS}/{self.snake}/")
        is_data = path.startswith(f"{DATA.as_posix()}/")
        return self.owns(path) or is_own_output or (is_data and not is_output)


def below_root(text: str, start: str = SERVICES.as_posix()) -> str | None:
    """Return a fragment's path relative to the workspace's root; None if it leads out, or if that is unknown.

    Args:
        text: The path in the fragment.
        start: The folder that it is relative to.

    >>> below_root("../../projects/shop/data"), below_root("/etc"), below_root("${HOME}/x"), below_root("../../..")
    ('projects/shop/data', None, None, None)
    """
    if not text or text.startswith(("/", "~", "-")) or "$" in text or "\\" in text or _WINDOWS_DRIVE.match(text):
        return None
    if any(character < " " for character in text) or "://" in text:
        return None
    path = posixpath.normpath(posixpath.join(start, text))
    return None if path == ".." or path.startswith("../") else path
