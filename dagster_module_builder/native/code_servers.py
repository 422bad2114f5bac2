"""The code servers of Dagster without containers: forks of one process, where the system forks safely.

Otherwise Dagster starts one process a code location for its webserver, and another one for its daemon.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dagster_module_builder import module_servers
from dagster_module_builder.module_servers.listed import LONGEST_SOCKET_NAME, digest_of, heading_of
from dagster_module_builder.native.native_folder import served_file

#: The most bytes of a socket's path, which ends with a zero (unix(7)).
_LONGEST_PATH = 107
_PREFIX = "dagster-"
PROGRAM = Path(module_servers.__file__).parent
#: MiB that each server may allocate, unless a person sets another limit. One with pandas takes a quarter of it.
_MEMORY = "2048"
MEMORY_VARIABLE = "DAGSTER_MODULE_BUILDER_SERVER_MEMORY"
#: Seconds within which changed code locations are served; those that take longer are served later.
_SERVED_WITHIN = 60.0
_PAUSE = 0.1


@contextmanager
def serving(root: Path, python: Path, workspace: Path, environ: Mapping[str, str]) -> Iterator[tuple[list[str], Path]]:
    """Give the beginning of a command that serves the code locations while its rest runs, and the file with them.

    Args:
        root: The workspace's root.
        python: The Python of the environment that has the modules' requirements.
        workspace: The workspace file for native processes.
        environ: The variables of the command.
    """
    folder = _short_folder()
    if folder is None or not sys.platform.startswith("linux"):
        yield [], workspace
        return
    served, memory = served_file(root), environ.get(MEMORY_VARIABLE) or _MEMORY
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=folder) as sockets:
        options = ["--workspace", workspace, "--served", served, "--sockets", sockets, "--memory", memory, "--"]
        yield [str(python), str(PROGRAM), *map(str, options)], served


def _short_folder() -> str | None:
    """Return a folder for temporary ones in which the paths of sockets are not too long; None if there is none."""
    candidates = (tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR") or "", "/tmp", "/var/tmp")  # noqa: S108 - a private one is made in it
    longest = _LONGEST_PATH - len(f"/{_PREFIX}12345678/") - LONGEST_SOCKET_NAME
    fitting = (folder for folder in candidates if folder and len(os.fsencode(folder)) <= longest)
    return next((folder for folder in fitting if os.access(folder, os.W_OK | os.X_OK)), None)


def await_served(root: Path, workspace: Path) -> None:
    """Wait until the running servers have taken over a changed workspace file; where there are none, go on at once.

    Args:
        root: The workspace's root.
        workspace: The workspace file for native processes.
    """
    end = time.monotonic() + _SERVED_WITHIN
    wanted = heading_of(digest_of(workspace.read_bytes()), workspace.absolute())
    while (line := _heading(root)) != wanted and time.monotonic() < end:
        if line is None or not line.endswith(os.fsencode(workspace.absolute())):
            return
        time.sleep(_PAUSE)


def _heading(root: Path) -> bytes | None:
    file = served_file(root)
    try:
        return file.read_bytes().partition(b"\n")[0]
    except FileNotFoundError:
        return None
