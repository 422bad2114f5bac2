"""Dumps of a module's data: written to files and read back from the disk, before any data is deleted."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
import time

from .client import tail
from .compose import containers, volume_names
from .errors import RefusedError
from .files import remove_tree, sync
from .programs import ask_where
from .remains import read_remains

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

    from .host import Host

#: Seconds that a whole dump may take.
DUMPING = 6 * 3600.0
#: Bytes to read at once.
PART = 1 << 20
#: Bytes at the end of a dump that must contain its last line.
END = 512
#: Runs a command with its output in a file that only its owner can read; its error output is returned.
INTO = 'umask 077; exec "$@" > "$0"'
#: Runs a command with its input from a file.
FROM = 'exec "$@" < "$0"'
#: The commands for the database's own container; the variables are those that its image was started with.
INSIDE = {
    "postgresql": 'PGPASSWORD="$POSTGRES_PASSWORD" exec pg_dump --host 127.0.0.1 --port "${PGPORT:-5432}" '
    '--username "$POSTGRES_USER" --dbname "$POSTGRES_DB"',
    "mysql": 'MYSQL_PWD="$MYSQL_PASSWORD" exec mysqldump --host=127.0.0.1 --port="${MYSQL_TCP_PORT:-3306}" '
    '--user="$MYSQL_USER" --single-transaction --no-tablespaces --routines "$MYSQL_DATABASE"',
}
#: The last line of a complete dump by pg_dump or mysqldump.
ENDS = {
    "postgresql": re.compile(rb"^-- PostgreSQL database dump complete$", re.MULTILINE),
    "mysql": re.compile(rb"^-- Dump completed\b", re.MULTILINE),
}
#: Compares a packed folder, from standard input, with the folder itself; prints nothing if they are equal.
COMPARE = """\
import os, sys, tarfile
top, name = sys.argv[1:]
held = set()
with tarfile.open(fileobj=sys.stdin.buffer, mode="r|gz") as packed:
    for member in packed:
        path = os.path.join(top, member.name)
        held.add(os.path.normpath(path))
        if member.isreg():
            copy = packed.extractfile(member)
            with open(path, "rb") as file:
                part = b"x"
                while part:
                    part = file.read(1 << 20)
                    if copy.read(len(part) or 1) != part:
                        sys.exit(path + " differs from its copy in the dump")
for folder, folders, files in os.walk(os.path.join(top, name)):
    for path in (os.path.normpath(os.path.join(folder, entry)) for entry in [*folders, *files]):
        if path not in held:
            sys.exit(path + " is not in the dump")
"""


def dump(
    host: Host,
    module: str,
    location: str,
    storage: str | None,
    database: dict[str, Any] | None,
    where: dict[str, Any] | None = None,
    remains: bool = False,
) -> dict[str, Any]:
    """Dump a module's data into files; nothing is deleted.

    Args:
        host: This host.
        module: The module.
        location: The module's name in Dagster, which is also the name of its folder in the storage.
        storage: The folder that holds the assets of all modules, as Dagster sees it; None if it is not a folder.
        database: Its ``type``, and its ``service`` or how it is reached (``host``, ``port``, ``user``, …); or None.
        where: How to get to where Dagster runs; None for this host.
        remains: Whether the module is gone already: its earlier dump is used, or its volumes are packed as they are.

    Returns:
        ``folder``, and ``files``: the SHA-256 of each file in it, as read back from the disk.
    """
    until = time.monotonic() + DUMPING
    left = read_remains(host, module) if remains else {}
    if is_whole(left.get("dump")):
        return dict(left["dump"])
    running = [run for run in host.dagster.runs() if run["location"] == location]
    if running:
        raise RefusedError("runs", f"{len(running)} runs of {module} are in progress: wait for them or cancel them.")
    folder = new_folder(host, module)
    try:
        if database:
            dump_database(host, os.path.join(folder, "database.sql"), database, until)
        for volume in volume_names(host, **left["service"]) if left.get("service") else []:
            dump_volume(host, folder, volume, left["image"], until)
        if storage and is_stored(host, where, folder, storage, location):
            dump_files(host, os.path.join(folder, "storage.tar.gz"), storage, location, where, until)
    except BaseException:
        remove_tree(folder)
        raise
    for path in (folder, os.path.dirname(folder), host.base):
        sync(path)
    return {"folder": folder, "files": {name: digest_of(os.path.join(folder, name)) for name in os.listdir(folder)}}


def new_folder(host: Host, module: str) -> str:
    """Make a folder for a dump, with an unused name: ``dumps/sales-20260131T120000Z``."""
    stem = os.path.join(host.base, "dumps", f"{module}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    folder, number = stem, 1
    while os.path.lexists(folder):
        folder, number = f"{stem}-{number}", number + 1
    os.makedirs(folder, mode=0o700)
    return folder


def is_whole(made: dict[str, Any] | None) -> bool:
    """Tell whether a dump on the disk is unchanged since it was made."""
    if not made:
        return False
    with contextlib.suppress(OSError):
        return all(digest_of(os.path.join(made["folder"], name)) == value for name, value in made["files"].items())
    return False


def digest_of(path: str) -> str:
    """Return a file's SHA-256, read from the disk: the kernel's copy in memory is dropped first."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        drop_cached(file)
        for part in iter(lambda: file.read(PART), b""):
            digest.update(part)
    return digest.hexdigest()


def drop_cached(file: BinaryIO) -> None:
    """Have the kernel drop a file from its cache, if the system has a call for that (macOS has none)."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def dump_database(host: Host, path: str, database: dict[str, Any], until: float) -> None:
    """Dump a database to a file, and refuse a dump that is incomplete."""
    kind, service = database["type"], database.get("service")
    environ: dict[str, str] = {}
    if service:
        running = containers(host, service["folder"], [service["name"]])
        if not running:
            raise RefusedError("docker", f"{service['name']} does not run, so it cannot be dumped: start it.")
        command = ["docker", "exec", running[0], "sh", "-c", INSIDE[kind]]
    else:
        command, environ = reached(database)
    said = into(host, path, command, environ, until)
    if said is not None or not ends_well(path, kind):
        raise RefusedError("dump", f"The database could not be dumped: {said or 'the dump is incomplete'}")


def ends_well(path: str, kind: str) -> bool:
    """Tell whether a dump on the disk has the last line of a complete one."""
    with open(path, "rb") as file:
        drop_cached(file)
        file.seek(max(0, os.path.getsize(path) - END))
        return ENDS[kind].search(file.read()) is not None


def reached(database: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
    """Return the command that dumps a database over the network, and the variables with its password."""
    at, port, user, name = (str(database[key]) for key in ("host", "port", "user", "name"))
    if database["type"] == "postgresql":
        command = ["pg_dump", "--host", at, "--port", port, "--username", user, "--no-password", "--dbname", name]
        return command, {"PGPASSWORD": database["password"]}
    command = ["mysqldump", f"--host={at}", f"--port={port}", f"--user={user}", "--protocol=TCP"]
    command += ["--single-transaction", "--no-tablespaces", "--routines", name]
    return command, {"MYSQL_PWD": database["password"]}


def left_until(until: float) -> float:
    """Return the seconds that are left for a dump; at least one."""
    return max(1.0, until - time.monotonic())


def into(host: Host, path: str, command: list[str], environ: dict[str, str], until: float) -> str | None:
    """Run a command with its output in a file on the disk; return its error output, or None if it succeeded."""
    code, said = host.client.run(
        ["/bin/sh", "-c", INTO, path, *command], None, left_until(until), env={**os.environ, **environ}, cwd=host.base
    )
    sync(path)
    return (tail(said) or f"{command[0]} ended with {code}") if code else None


def is_stored(host: Host, where: dict[str, Any] | None, cwd: str, storage: str, location: str) -> bool:
    """Tell whether a module has a folder in the storage."""
    look = ["/bin/sh", "-c", 'if test -d "$0"; then echo yes; else echo no; fi', f"{storage}/{location}"]
    return ask_where(host, where, look, cwd, "yes|no") == "yes"


def dump_files(host: Host, path: str, storage: str, location: str, where: dict[str, Any] | None, until: float) -> None:
    """Pack a module's folder in the storage, and compare the result with the folder, byte for byte."""
    command = ["tar", "--create", "--gzip", "--directory", storage, "--", location]
    prefix = [] if where is None else [*where["prefix"], where["service"]]
    said = into(host, path, [*prefix, *command], {}, until)
    if said is not None:
        raise RefusedError("dump", f"{storage}/{location} could not be packed: {said}")
    python = sys.executable if where is None else "python3"
    compare = ["/bin/sh", "-c", FROM, path, *prefix, python, "-c", COMPARE, storage, location]
    code, said = host.client.run(compare, None, left_until(until), cwd=host.base)
    if code:
        raise RefusedError("dump", f"The dump of {storage}/{location} is incomplete: {tail(said)}")


def dump_volume(host: Host, folder: str, volume: str, image: str, until: float) -> None:
    """Pack the files of a volume whose service is gone, twice, and compare the results."""
    path = os.path.join(folder, f"{volume}.tar")
    # It is never started: 'docker cp' reads the volume through it.
    create = ["docker", "create", "--network", "none", "--volume", f"{volume}:/volume", image, "true"]
    code, said = host.client.run(create)
    if code:
        raise RefusedError("docker", f"The volume {volume} cannot be read by the image {image}: {tail(said)}")
    container = said.split()[-1]
    copy = ["docker", "cp", f"{container}:/volume", "-"]
    try:
        complaint = into(host, path, copy, {}, until) or into(host, f"{path}.again", copy, {}, until)
        if complaint is None and digest_of(path) != digest_of(f"{path}.again"):
            complaint = "it changed in the meantime"
    finally:
        host.client.run(["docker", "rm", "--force", container], limit=60)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path}.again")
    if complaint is not None:
        raise RefusedError("dump", f"The volume {volume} could not be packed: {complaint}")
