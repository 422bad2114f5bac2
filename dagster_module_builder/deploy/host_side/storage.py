"""Where this host's Dagster stores assets, and a copy of assets from a temporary folder to one that lasts."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat

from .files import STAGED, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .host import Host

VARIABLE = b"DAGSTER_STORAGE_DIR"
#: Where modules store assets if nothing else is set.
DEFAULT = "/tmp/dagster_storage"  # noqa: S108 - the default of the modules' own code
#: Folders that are emptied at a restart, or after some days (file-hierarchy(7), tmpfiles.d(5)).
TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm", "/run")  # noqa: S108 - nothing is written there
#: File systems in memory.
IN_MEMORY = ("tmpfs", "ramfs")
#: The arguments of Dagster's own processes; processes that load code may have earlier variables.
DAGSTER = re.compile(rb"dagster[\W_]*(?:webserver|daemon|dev\b)")


def storage_seen(host: Host, folder: str) -> dict[str, Any]:
    """Return what this user can see of where assets are stored.

    Args:
        host: This host.
        folder: The folder below the base that Dagster is started in.

    Returns:
        ``told``: the folder that Dagster's processes were started with; ``seen``: whether this user can see those
        processes; ``held``: whether the default folder has any files; ``temporary``: the folders that do not last.
    """
    started_in = os.path.realpath(os.path.join(host.base, folder))
    environments = [*started_with(started_in)]
    told = [value for value in (variables.get(VARIABLE) for variables in environments) if value]
    return {
        "told": os.fsdecode(told[0]) if told else None,
        "seen": bool(environments),
        "held": is_filled(DEFAULT),
        "temporary": [*TEMPORARY, *mounts_in_memory()],
    }


def started_with(folder: str) -> Iterator[dict[bytes, bytes]]:
    """Yield the environment of each Dagster process in a folder, as far as this user may see it."""
    for number in processes_in(folder):
        with contextlib.suppress(OSError):
            pairs = (read(f"/proc/{number}/environ") or b"").split(b"\0")
            yield {name: value for name, _, value in (pair.partition(b"=") for pair in pairs)}


def processes_in(folder: str) -> Iterator[str]:
    """Yield the number of each Dagster process in a folder, as far as this user may see it."""
    for number in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc/self") else ()):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{number}/cwd") == folder and is_dagster(number):
                yield number


def is_dagster(process: str) -> bool:
    """Tell whether a process is Dagster's webserver or daemon."""
    return DAGSTER.search((read(f"/proc/{process}/cmdline") or b"").replace(b"\0", b" ")) is not None


def is_filled(folder: str) -> bool:
    """Tell whether a folder has any entries."""
    try:
        return bool(os.listdir(folder))
    except OSError:
        return False


def mounts_in_memory() -> list[str]:
    """Return the mount points of file systems in memory, which a restart empties."""
    lines = (read("/proc/self/mounts") or b"").decode("utf-8", "replace").splitlines()
    return [fields[1] for fields in map(str.split, lines) if fields[2] in IN_MEMORY]


def bring_storage(host: Host, folder: str, need: int) -> dict[str, Any]:
    """Copy everything from the default folder to another one; called again, copy new and changed files.

    Args:
        host: This host.
        folder: The folder to copy to.
        need: Bytes that have to stay free.

    Returns:
        ``brought``: the number of files copied.
    """
    os.makedirs(folder, exist_ok=True)
    if os.stat(DEFAULT).st_dev != os.stat(folder).st_dev:
        host.refuse_full(need + sum(os.lstat(path).st_size for path, target in pairs(folder) if is_newer(path, target)))
    brought = 0
    for path, target in pairs(folder):
        host.client.check()
        if is_newer(path, target):
            make_folder(os.path.dirname(path), os.path.dirname(target))
            bring_file(path, target)
            brought += 1
    return {"brought": brought}


def pairs(folder: str) -> Iterator[tuple[str, str]]:
    """Yield each file and link in the default folder, with the path of its copy in another folder."""
    for where, folders, files in os.walk(DEFAULT, onerror=raised):
        links = [name for name in folders if os.path.islink(os.path.join(where, name))]
        for name in [*files, *links]:
            path = os.path.join(where, name)
            if stat.S_IFMT(os.lstat(path).st_mode) in {stat.S_IFREG, stat.S_IFLNK}:
                yield path, os.path.join(folder, os.path.relpath(path, DEFAULT))


def raised(error: OSError) -> None:
    """Raise an error of ``os.walk``, which would otherwise skip a folder that cannot be read."""
    raise error


def is_newer(path: str, target: str) -> bool:
    """Tell whether a file has no copy yet, or was written after its copy."""
    if not os.path.lexists(target):
        return True
    old, new = os.lstat(path), os.lstat(target)
    return not os.path.samestat(old, new) and old.st_mtime_ns > new.st_mtime_ns


def make_folder(source: str, folder: str) -> None:
    """Make a folder with the mode of its source."""
    if not os.path.isdir(folder):
        os.makedirs(folder, exist_ok=True)
        shutil.copymode(source, folder)


def bring_file(path: str, target: str) -> None:
    """Copy a file, whole or not at all; on the same file system by a hard link, which takes no space."""
    staged = target + STAGED
    with contextlib.suppress(FileNotFoundError):
        os.unlink(staged)
    try:
        os.link(path, staged, follow_symlinks=False)
    except OSError:
        shutil.copy2(path, staged, follow_symlinks=False)
    os.rename(staged, target)
