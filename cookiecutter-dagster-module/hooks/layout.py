"""Where a workspace's files are: as ``workspace.init`` makes them, or as the file in its root says.

Standard library only: the template's hooks import this file where Cookiecutter was installed alone.
"""

from __future__ import annotations

import configparser
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING or __package__:
    from dagster_module_builder.base import settings
    from dagster_module_builder.base.errors import DamagedFileError, RefusedError, ToolError
else:
    import settings  # beside this file in the template's hooks
    from errors import DamagedFileError, RefusedError, ToolError

#: The file in the root of a workspace that names its other files.
FILE = settings.LAYOUT_FILE
#: Its only section.
SECTION = "workspace"

#: Where this program keeps Dockerfiles of code servers, in the folder of the registry.
SERVERS = "servers"

_SERVICES = settings.SERVICES.as_posix()
#: Its keys, with the paths of a workspace that has no such file.
DEFAULTS: dict[str, str] = {
    "compose-file": f"{_SERVICES}/docker-compose.yml",
    "compose-files": "",
    "compose-folder": "",
    "workspace-file": f"{_SERVICES}/workspace.yaml",
    "dg-file": "",
    "env-file": f"{_SERVICES}/.env",
    "dockerfiles": f"{_SERVICES}/Dockerfile",
    "instance-file": f"{_SERVICES}/dagster.yaml",
    "projects": "projects",
    "data": "data",
    "state": f"{_SERVICES}/modules",
    "code-services": "",
}
_LARGEST = 64 * 1024
_LISTS = {"compose-files", "dockerfiles", "code-services", "projects"}
#: The keys whose path may be left empty.
_OPTIONAL = {*_LISTS - {"projects"}, "compose-file", "compose-folder", "workspace-file", "dg-file"}


@dataclass(frozen=True)
class WorkspaceLayout:
    """Where the files of one workspace are.

    Attributes:
        root: Its root.
        values: The value of every key of ``FILE``: paths relative to the root, lists one item a line.
        written: Whether the root has that file.
    """

    root: Path
    values: Mapping[str, str]
    written: bool = False

    def _path(self, key: str) -> Path:
        return self.root / self.values[key]

    def _list(self, key: str) -> list[str]:
        return _items(key, self.values[key])

    @property
    def has_compose(self) -> bool:
        """Whether a Compose project runs Dagster; else it runs on this machine without containers."""
        return bool(self.values["compose-file"])

    @property
    def compose_file(self) -> Path:
        """The Compose file that takes modules.

        Raises:
            RefusedError: Dagster runs without containers here.
        """
        if not self.has_compose:
            raise RefusedError(
                f"Dagster runs without containers here: {self.root / FILE} names no compose-file. "
                f"Use 'workspace.dev', or what starts Dagster on this machine."
            )
        return self._path("compose-file")

    @property
    def compose_files(self) -> list[Path]:
        """The files that Compose merges, in this order; empty if Compose finds them itself."""
        return [self.root / name for name in self._list("compose-files")]

    @property
    def project_folder(self) -> Path:
        """The folder that Compose resolves paths against: that of its first file; without Compose, Dagster's."""
        if not self.has_compose:
            return self.dagster_folder
        return (self.compose_files or [self.compose_file])[0].parent

    @property
    def compose_folder(self) -> Path:
        """The folder that paths in the Compose file that takes modules are relative to."""
        return self._path("compose-folder") if self.values["compose-folder"] else self.project_folder

    @property
    def workspace_file(self) -> Path:
        """Dagster's list of code locations: ``workspace.yaml``, or for ``dg`` a TOML file with its projects."""
        return self._path("workspace-file") if self.values["workspace-file"] else self._path("dg-file")

    @property
    def is_dg(self) -> bool:
        """Whether ``dg`` finds the code locations: ``workspace_file`` is its TOML file."""
        return not self.values["workspace-file"]

    @property
    def env_file(self) -> Path:
        """The variables that Compose interpolates, or that Dagster reads where it starts."""
        return self._path("env-file")

    @property
    def dockerfiles(self) -> list[Path]:
        """The Dockerfiles of the services that run the modules' code."""
        return [self.root / name for name in self._list("dockerfiles")]

    @property
    def instance_file(self) -> Path:
        """Dagster's instance settings, ``dagster.yaml``."""
        return self._path("instance-file")

    @property
    def module_folders(self) -> tuple[Path, ...]:
        """The folders of the modules, which are looked for in all of them; new ones go into the first."""
        return tuple(dict.fromkeys(self.root / os.path.normpath(name) for name in self._list("projects")))

    @property
    def new_modules(self) -> Path:
        """The folder that new modules go into."""
        return self.module_folders[0]

    @property
    def named_module_folders(self) -> str:
        """The folders of the modules, for a message."""
        return " or ".join(map(str, self.module_folders))

    def in_module_folders(self) -> list[Path]:
        """Return every folder that could be a module's, by name; a folder of modules inside another one is none."""
        listed = [folder for folder in self.module_folders if folder.is_dir()]
        inside = [path for folder in listed for path in folder.iterdir() if path.is_dir() and path not in listed]
        return sorted(inside, key=lambda path: (path.name, path))

    def holds(self, path: Path) -> bool:
        """Return whether a folder is directly in one of the folders of the modules."""
        return path.parent.resolve() in [folder.resolve() for folder in self.module_folders]

    @property
    def data(self) -> Path:
        """The folder of the outputs of runs without containers."""
        return self._path("data")

    @property
    def state(self) -> Path:
        """The folder of the registry, backups and the lock."""
        return self._path("state")

    @property
    def registry(self) -> Path:
        """What was merged."""
        return self.state / settings.REGISTRY.name

    @property
    def key(self) -> Path:
        """The secret that seals what the registry remembers of secrets. Never committed."""
        return self.state / settings.KEY.name

    @property
    def backups(self) -> Path:
        """The folder of the backups."""
        return self.state / settings.BACKUPS.name

    @cached_property
    def shared_files(self) -> Mapping[str, Path]:
        """The files that take modules, each by the name that the registry has for it."""
        dockerfiles = self.dockerfiles
        listed = {"dg.toml" if self.is_dg else "workspace.yaml": self.workspace_file, ".env": self.env_file}
        if not self.has_compose:
            return listed
        return {
            **listed,
            "docker-compose.yml": self.compose_file,
            **dict(zip(["Dockerfile"], dockerfiles, strict=False)),
            "dagster.yaml": self.instance_file,
            **{path.relative_to(self.root).as_posix(): path for path in dockerfiles[1:]},
        }

    @property
    def dagster_folder(self) -> Path:
        """The working folder of Dagster without containers: paths of code locations are relative to it."""
        return self.workspace_file.parent

    @property
    def servers(self) -> Path:
        """The folder of the Dockerfiles that were made for modules' own code servers."""
        return self.state / SERVERS

    def path_of(self, file: str) -> Path:
        """Return where a shared file is, by the name that the registry has for it."""
        if file == "docker-compose.yml":
            return self.compose_file
        return self.state / file if file.startswith(f"{SERVERS}/") else self.shared_files[file]

    @property
    def code_services(self) -> tuple[str, ...]:
        """The services that run modules' code, where that cannot be seen."""
        return tuple(self._list("code-services"))

    @property
    def exists(self) -> bool:
        """Whether there is a workspace."""
        return self.written or self.project_folder.is_dir()


def layout_of(root: Path) -> WorkspaceLayout:
    """Return where a workspace's files are.

    Raises:
        DamagedFileError: Its root has the file that says so, and that says something else.
        ToolError: That file cannot be read.
    """
    try:
        text = _read(root / FILE)
    except (FileNotFoundError, NotADirectoryError):
        return WorkspaceLayout(root, DEFAULTS)
    except OSError as error:
        raise ToolError(f"{error.strerror or error}: {root / FILE} cannot be read.") from None
    if text is None:
        raise _damaged(root, None, f"it is no plain file of less than {_LARGEST // 1024} KB")
    return WorkspaceLayout(root, _values(root, text), written=True)


def _read(path: Path) -> bytes | None:
    """Return the content of a regular file that is not too large; None for anything else, without waiting for it."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        state = os.fstat(handle)
        return os.read(handle, _LARGEST) if stat.S_ISREG(state.st_mode) and state.st_size < _LARGEST else None
    finally:
        os.close(handle)


@lru_cache(maxsize=8)
def _values(root: Path, text: bytes) -> Mapping[str, str]:
    # Values are paths: nothing in them is interpolated, and '#' may be part of a name.
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#", ";"))
    try:
        parser.read_string(text.decode())
    except (configparser.Error, UnicodeDecodeError) as error:
        raise _damaged(root, getattr(error, "lineno", None), "it cannot be read") from None
    if parser.sections() != [SECTION] or parser.defaults():
        raise _damaged(root, None, f"it must have one section, [{SECTION}]")
    values = dict(parser[SECTION])
    for key, value in values.items():
        if problem := _problem(key, value):
            raise _damaged(root, _line_of(text, key), problem)
    whole = {**DEFAULTS, **values}
    if not whole["workspace-file"] and not whole["dg-file"]:
        raise _damaged(root, _line_of(text, "workspace-file"), "workspace-file is empty, and so is dg-file")
    return whole


def _problem(key: str, value: str) -> str | None:
    """Return what is wrong with a value, or None."""
    if key not in DEFAULTS:
        return f"{key!r} is unknown. Known are {', '.join(DEFAULTS)}"
    if key == "code-services":
        return None
    paths = _items(key, value)
    if not paths and key not in _OPTIONAL:
        return f"{key} is empty"
    for path in paths:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(os.path.normpath(path)).parts:
            return f"{key} must be a path below this folder, not {path!r}"
    return None


def _items(key: str, value: str) -> list[str]:
    """Return the items of a value; those of ``projects`` may also be separated by commas."""
    items = value.splitlines() if key in _LISTS else [value]
    if key == "projects":
        items = [item for line in items for item in line.split(",")]
    return [item.strip() for item in items if item.strip()]


def _line_of(text: bytes, key: str) -> int | None:
    lines = text.decode("utf-8", "replace").splitlines()
    return next((number for number, line in enumerate(lines, 1) if line.split("=")[0].strip().lower() == key), None)


def missing(layout: WorkspaceLayout, path: Path) -> DamagedFileError:
    """Return the error for a file that a workspace names, and that is not there."""
    return _damaged(layout.root, None, f"it names {path}, which does not exist")


def _damaged(root: Path, line: int | None, problem: str) -> DamagedFileError:
    return DamagedFileError(
        root / FILE, line, problem, "Fix it by hand, or delete it and make it again with 'workspace.adopt'."
    )
