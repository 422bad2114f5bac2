"""Where this host's Dagster has assets stored, and a move of what lies where nothing lasts."""

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
#: Where modules store unless they are told otherwise.
DEFAULT = "/tmp/dagster_storage"  # noqa: S108 - the default of the modules' own code
#: Folders that are emptied by a restart, or after some days (file-hierarchy(7), tmpfiles.d(5)).
TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm", "/run")  # noqa: S108 - nothing is written there
#: File systems in memory.
IN_MEMORY = ("tmpfs", "ramfs")
#: The arguments of Dagster's own processes; those that load code have variables of before.
DAGSTER = re.compile(rb"dagster[\W_]*(?:webserver|daemon|dev\b)")


def storage_seen(host: Host, folder: str) -> dict[str, Any]:
    """Return what can be seen of where assets are stored.

    Args:
        host: This one.
        folder: The folder below the base that Dagster is started in.

    Returns:
        ``told``: what Dagster's processes were started with; ``seen``: whether they may be looked at at all; ``held``:
        whether anything is stored in the default place; ``temporary``: the folders below which nothing lasts.
    """
    started_in = os.path.realpath(os.path.join(host.base, folder))
    environments = [*started_with(started_in)]
    told = [value for value in (one.get(VARIABLE) for one in environments) if value]
    return {
        "told": os.fsdecode(told[0]) if told else None,
        "seen": bool(environments),
        "held": is_filled(DEFAULT),
        "temporary": [*TEMPORARY, *mounts_in_memory()],
    }


def started_with(folder: str) -> Iterator[dict[bytes, bytes]]:
    """Yield the variables that each process of a Dagster was started with, as far as this user may see them."""
    for number in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc/self") else ()):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{number}/cwd") == folder and is_dagster(number):
                pairs = (read(f"/proc/{number}/environ") or b"").split(b"\0")
                yield {name: value for name, _, value in (pair.partition(b"=") for pair in pairs)}


def is_dagster(process: str) -> bool:
    """Tell whether a process is one of Dagster's own."""
    return DAGSTER.search((read(f"/proc/{process}/cmdline") or b"").replace(b"\0", b" ")) is not None


def is_filled(folder: str) -> bool:
    """Tell whether a folder has anything in it."""
    try:
        return bool(os.listdir(folder))
    except OSError:
        return False


def mounts_in_memory() -> list[str]:
    """Return where file systems are mounted that a restart empties."""
    lines = (read("/proc/self/mounts") or b"").decode("utf-8", "replace").splitlines()
    return [fields[1] for fields in map(str.split, lines) if fields[2] in IN_MEMORY]


def bring_storage(host: Host, folder: str, need: int) -> dict[str, Any]:
    """Have in a folder everything that the default place has, without taking it from there; said again, what is new.

    Args:
        host: This one.
        folder: Where to.
        need: Bytes that have to be free besides.

    Returns:
        ``brought``: how many files.
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
    """Yield each file and link in the default place, and where it belongs in a folder."""
    for where, folders, files in os.walk(DEFAULT, onerror=raised):
        links = [name for name in folders if os.path.islink(os.path.join(where, name))]
        for name in [*files, *links]:
            path = os.path.join(where, name)
            if stat.S_IFMT(os.lstat(path).st_mode) in {stat.S_IFREG, stat.S_IFLNK}:
                yield path, os.path.join(folder, os.path.relpath(path, DEFAULT))


def raised(error: OSError) -> None:
    """Do not pass over a folder that cannot be read: what is in it would be missing."""
    raise error


def is_newer(path: str, target: str) -> bool:
    """Tell whether a file is not in its new place yet, or was written since."""
    if not os.path.lexists(target):
        return True
    here, there = os.lstat(path), os.lstat(target)
    return not os.path.samestat(here, there) and here.st_mtime_ns > there.st_mtime_ns


def make_folder(source: str, folder: str) -> None:
    """Make a folder with the rights that its source has."""
    if not os.path.isdir(folder):
        os.makedirs(folder, exist_ok=True)
        shutil.copymode(source, folder)


def bring_file(path: str, target: str) -> None:
    """Have a file in its new place, whole or not at all; where that is on the same file system, it takes no room."""
    staged = target + STAGED
    with contextlib.suppress(FileNotFoundError):
        os.unlink(staged)
    try:
        os.link(path, staged, follow_symlinks=False)
    except OSError:
        shutil.copy2(path, staged, follow_symlinks=False)
    os.rename(staged, target)
