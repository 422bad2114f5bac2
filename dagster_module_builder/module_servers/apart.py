"""Modules apart from each other: each server is another user, and has the variables and the code of its module only.

The process above the servers runs as root, without the rights that it does not need. It never reads what a module may
not know: a short-lived process copies a module's code out of the workspace, which no server can reach, and hands over
the variables in the module's block of ``.env``, with those that the owner wrote outside all blocks.
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import re
import resource
import shutil
import signal
import stat
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .blocks import taken_apart
from .copying import copied, project_of
from .listed import Listed, file_name

#: The users of modules are numbered from here: below what rootless engines map, above what distributions use.
_USERS = range(20000, 60000)
#: Variables that no code gets: what only a database's own container, or Docker Compose, needs.
_KEPT_BACK = re.compile(r".*_ROOT_PASSWORD|COMPOSE_.*|DOCKER_.*")
#: Processes and threads that a module may have at once.
_PROCESSES = 4096
#: https://man7.org/linux/man-pages/man2/pr_set_dumpable.2const.html
_PR_SET_DUMPABLE = 4
#: Which modules read others' outputs: the owner's to say, outside the modules' blocks.
_READS = "DAGSTER_MODULE_READS"
_STORAGE_VARIABLE = "DAGSTER_STORAGE_DIR"
_STORAGE_DEFAULT = "/tmp/dagster_storage"  # noqa: S108 - in a container, where a volume is mounted


@dataclass(frozen=True)
class Apart:
    """How modules are kept apart.

    Attributes:
        original: The workspace as its owner has it, in a folder that only root may enter.
        copy: Where servers see the code of their module: paths in the workspace file are below it.
        variables: The owner's file of variables.
        users: Where the numbers of the modules' users are remembered.
        logs: The folder of the logs of runs, in which each module makes folders; None if there is none.
        temporary: The folder in which each module gets a private one for temporary files.
    """

    original: Path
    copy: Path
    variables: Path
    users: Path
    logs: Path | None = None
    temporary: Path = Path("/tmp")  # noqa: S108 - private folders are made in it

    def original_of(self, path: Path) -> Path:
        """Return where the owner has what servers see at a path."""
        return self.original / path.relative_to(self.copy)

    def prepare(self) -> None:
        """Make what all servers need.

        Raises:
            PermissionError: Others than root can reach the workspace.
        """
        if self.original.parent.stat().st_mode & 0o077 or self.original.parent.stat().st_uid:
            raise PermissionError(f"{self.original.parent} must be a folder of root with the mode 0700")
        for folder in filter(None, (self.logs, self.logs and self.logs / "__repository__")):
            folder.mkdir(parents=True, exist_ok=True)
            # Each module makes folders here, and lists none. Their group is that of the webserver, which reads them.
            os.chown(folder, 0, os.getegid())
            folder.chmod(0o3773)

    def refresh(self, workspace: Path) -> None:
        """Copy the files that belong to no module: the list of code locations, and the settings of the instance."""
        workspace.parent.mkdir(parents=True, exist_ok=True)
        for name in (workspace.name, "dagster.yaml"):
            with suppress(FileNotFoundError):
                text = self.original_of(workspace.with_name(name)).read_bytes()
                new = workspace.with_name(f"{name}.new")
                new.write_bytes(text)
                new.replace(workspace.with_name(name))

    def user_of(self, name: str) -> int:
        """Return the number of a module's user and group: always the same for a name."""
        users: dict[str, int] = json.loads(self.users.read_text()) if self.users.exists() else {}
        if name not in users:
            users[name] = next(number for number in _USERS if number not in users.values())
            _write_private(self.users, json.dumps(users, indent=1))
        return users[name]

    def close_to_modules(self, name: str) -> None:
        """Keep modules out of the outputs of a location that another container serves, as the workspace's owner."""
        if outputs := _outputs(name):
            _give(outputs, self.original.stat().st_uid, 0o750, group=self.user_of(name))

    def make_socket_folder(self, folder: Path, user: int) -> None:
        """Make the folder of a location's sockets: its server makes them, the webserver's group reaches them."""
        folder.mkdir(exist_ok=True)
        if folder.stat().st_uid != user:
            os.chown(folder, 0, os.getegid())
            folder.chmod(0o710)
            os.chown(folder, user, os.getegid())

    def become(self, listed: Listed, marker: str | None, user: int) -> None:
        """Become a module's user, in the process that is about to load its code.

        Args:
            listed: The code location.
            marker: The marker of the module's blocks; None for a location that the owner listed.
            user: The number of its user and group.

        Raises:
            RuntimeError: Its code could not be copied; why was printed.
        """
        folders = [project_of(self.original_of(each), self.original) for each in self._folders(listed)]
        if self.original in folders:
            raise RuntimeError(f"the code of {listed.name} is in the workspace's root: move it into a folder")
        variables = self._handed_over(folders, marker, user)
        private = self.temporary / f"{file_name(listed.name)}-{user}"
        for folder in filter(None, (private, _outputs(listed.name))):
            _give(folder, user, 0o750, group=user)
        os.setgroups([self.user_of(each) for each in _read_by(marker, variables.get(_READS, ""))])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        # A process that changed its user may not look at itself otherwise.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
        resource.setrlimit(resource.RLIMIT_NPROC, (_PROCESSES, _PROCESSES))
        os.umask(0o027)
        _forget_paths_of_others(self.copy, [self.copy / folder.relative_to(self.original) for folder in folders])
        os.environ.update(variables)
        os.environ.update(HOME=str(private), TMPDIR=str(private), USER=listed.name, LOGNAME=listed.name)

    def _folders(self, listed: Listed) -> list[Path]:
        """Return the folders of a location's code, as the owner's workspace file names them."""
        arguments = list(listed.arguments or ())
        given = {option: arguments[at + 1] for at, option in enumerate(arguments[:-1])}
        named = [given[option] for option in ("-d", "--working-directory") if option in given]
        named += [os.path.dirname(given[option]) for option in ("-f", "--python-file") if option in given]
        paths = [Path(os.path.normpath(os.path.abspath(path))) for path in named]
        return [path for path in paths if self.copy in path.parents]

    def _handed_over(self, folders: list[Path], marker: str | None, user: int) -> Mapping[str, str]:
        """Have a process copy the code, and return the variables that it hands over."""
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.close(read)
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                self._copy(folders, user)
                with open(write, "wb") as pipe:
                    pipe.write(self._variables_of(marker))
                status = 0
            except BaseException:  # noqa: BLE001 - nothing of the process above goes on here
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        os.close(write)
        with open(read, "rb") as pipe:
            said = pipe.read()
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
            raise RuntimeError(f"the code in {', '.join(map(str, folders)) or 'no folder'} could not be copied")
        variables: dict[str, str] = json.loads(said or b"{}")
        return variables

    def _copy(self, folders: list[Path], user: int) -> None:
        os.umask(0o022)
        targets = [self.copy / folder.relative_to(self.original) for folder in folders]
        for target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists() and target.stat().st_gid != user:
                shutil.rmtree(target)
        # What is made from here on can be read by the module's group only.
        os.setegid(user)
        os.umask(0o027)
        for source, target in zip(folders, targets):  # noqa: B905 - Python 3.9
            copied(source, target)

    def _variables_of(self, marker: str | None) -> bytes:
        from dotenv import dotenv_values

        found = self.variables.read_bytes() if self.variables.exists() else b""
        shared = taken_apart(found.decode("utf-8", "surrogateescape"))
        text = shared.own if marker is None else f"{shared.own}\n{shared.blocks.get(marker, '')}"
        values = dotenv_values(stream=io.StringIO(text))
        own = dotenv_values(stream=io.StringIO(shared.own))
        values = {**values, _READS: own.get(_READS)}
        kept = {name: value for name, value in values.items() if value is not None and not _KEPT_BACK.fullmatch(name)}
        return json.dumps(kept).encode()


def _outputs(name: str) -> Path | None:
    """Return the folder of a location's outputs; None if they are in object storage."""
    storage = os.environ.get(_STORAGE_VARIABLE) or _STORAGE_DEFAULT
    return None if "://" in storage else Path(storage) / name


def _read_by(marker: str | None, stated: str) -> list[str]:
    """Return the modules whose outputs a module may read, as the owner states it: ``"b: a c; d: a"``."""
    pairs = (each.partition(":") for each in stated.split(";"))
    return [other for reader, _, others in pairs if reader.strip() == marker for other in others.split()]


def _give(folder: Path, user: int, mode: int, *, group: int) -> None:
    """Make a folder a user's, with all that is in it.

    Raises:
        PermissionError: Another module made it, to get what is written there.
    """
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or (state.st_uid in _USERS and state.st_uid != user):
        raise PermissionError(f"{folder} belongs to another module: remove it")
    if state.st_uid == user and stat.S_IMODE(state.st_mode) == mode:
        return
    # A link that took the folder's place since is not followed.
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchown(opened, 0, 0)
        os.fchmod(opened, mode)
        for _, folders, files, place in os.fwalk(".", dir_fd=opened, topdown=False):
            for name in (*folders, *files):
                os.chown(name, user, group, dir_fd=place, follow_symlinks=False)
        os.fchown(opened, user, group)
    finally:
        os.close(opened)


def _write_private(path: Path, text: str) -> None:
    """Write a file that only root may read, in a folder in which others may make files."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def _forget_paths_of_others(copy: Path, own: list[Path]) -> None:
    """Leave the code of other modules out of the paths in which code is searched for: it cannot be read."""

    def stays(path: str) -> bool:
        place = Path(path)
        return copy not in place.parents or any(folder in (place, *place.parents) for folder in own)

    sys.path[:] = [path for path in sys.path if stays(path)]
    searched = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in searched if path and stays(path))
    # What was not there when the process above began is there now.
    sys.path_importer_cache.clear()
