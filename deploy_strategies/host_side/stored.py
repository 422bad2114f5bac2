"""What a module has stored here: dumped beside the modules, and only then deleted."""

from __future__ import annotations

import os
import time

from .client import tail
from .compose import containers, project_name
from .errors import RefusedError
from .files import remove_tree, sync
from .programs import run_where

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .host import Host

#: Seconds that a dump may take.
DUMPING = 6 * 3600.0
#: Runs a command with its output in a file that nobody else can read; what it complains of is heard.
INTO = 'umask 077; exec "$@" > "$0"'
#: In the database's own container; the variables are those that its image was started with.
INSIDE = {
    "postgresql": 'PGPASSWORD="$POSTGRES_PASSWORD" exec pg_dump --host 127.0.0.1 --port "${PGPORT:-5432}" '
    '--username "$POSTGRES_USER" --dbname "$POSTGRES_DB"',
    "mysql": 'MYSQL_PWD="$MYSQL_PASSWORD" exec mysqldump --host=127.0.0.1 --port="${MYSQL_TCP_PORT:-3306}" '
    '--user="$MYSQL_USER" --single-transaction --no-tablespaces --routines "$MYSQL_DATABASE"',
}
#: How a complete dump ends.
ENDS = {"postgresql": b"PostgreSQL database dump complete", "mysql": b"Dump completed"}


def dump(
    host: Host,
    module: str,
    location: str,
    storage: str | None,
    database: dict[str, Any] | None,
    where: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Put what a module has stored into files; nothing is deleted.

    Args:
        host: This one.
        module: Whose.
        location: Its name in Dagster, and of its folder in the storage.
        storage: The folder of everybody's stored assets, where Dagster runs; None where that is no folder.
        database: Its ``type``, and its ``service`` or how it is reached (``host``, ``port``, ``user``, …); or None.
        where: Where Dagster runs.
    """
    running = [run for run in host.dagster.runs() if run["location"] == location]
    if running:
        raise RefusedError("runs", f"{len(running)} runs of {module} are in progress: wait for them, or end them.")
    folder = os.path.join(host.base, "dumps", f"{module}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    os.makedirs(folder, mode=0o700)
    try:
        if database:
            dump_database(host, os.path.join(folder, "database.sql"), database)
        if storage and is_stored(host, where, folder, storage, location):
            dump_files(host, os.path.join(folder, "storage.tar.gz"), storage, location, where)
    except BaseException:
        remove_tree(folder)
        raise
    sync(folder)
    return {"folder": folder, "files": sorted(os.listdir(folder))}


def dump_database(host: Host, path: str, database: dict[str, Any]) -> None:
    """Dump a database, where it is, and see that the dump is whole."""
    kind, service = database["type"], database.get("service")
    environ: dict[str, str] = {}
    if service:
        there = containers(host, service["folder"], [service["name"]])
        if not there:
            raise RefusedError("docker", f"{service['name']} does not run, so that it cannot be dumped: start it.")
        command = ["docker", "exec", there[0], "sh", "-c", INSIDE[kind]]
    else:
        command, environ = reached(database)
    try:
        said = into(host, path, command, environ)
    except FileNotFoundError:
        raise RefusedError("tool", f"{command[0]} is not installed on the host.") from None
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - 512))
        whole = ENDS[kind] in file.read()
    if said is not None or not whole:
        raise RefusedError("dump", f"The database could not be dumped: {said or 'the dump is not whole'}")


def reached(database: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
    """Return the command that dumps a database on some host, and the variables with its password."""
    at, port, user, name = (str(database[key]) for key in ("host", "port", "user", "name"))
    if database["type"] == "postgresql":
        command = ["pg_dump", "--host", at, "--port", port, "--username", user, "--no-password", "--dbname", name]
        return command, {"PGPASSWORD": database["password"]}
    command = ["mysqldump", f"--host={at}", f"--port={port}", f"--user={user}", "--protocol=TCP"]
    command += ["--single-transaction", "--no-tablespaces", "--routines", name]
    return command, {"MYSQL_PWD": database["password"]}


def into(host: Host, path: str, command: list[str], environ: dict[str, str]) -> str | None:
    """Run a command with its output in a file; return what it complained of, None where it succeeded."""
    code, said = host.client.run(
        ["/bin/sh", "-c", INTO, path, *command], None, DUMPING, env={**os.environ, **environ}, cwd=host.base
    )
    return (tail(said) or f"{command[0]} ended with {code}") if code else None


def is_stored(host: Host, where: dict[str, Any] | None, cwd: str, storage: str, location: str) -> bool:
    """Tell whether a module has stored anything."""
    return run_where(host, where, ["test", "-d", f"{storage}/{location}"], cwd, 60, {})[0] == 0


def dump_files(host: Host, path: str, storage: str, location: str, where: dict[str, Any] | None) -> None:
    """Pack a module's folder of the storage."""
    command = ["tar", "--create", "--gzip", "--directory", storage, "--", location]
    there = [] if where is None else [*where["prefix"], where["service"]]
    said = into(host, path, [*there, *command], {})
    if said is not None:
        raise RefusedError("dump", f"{storage}/{location} could not be packed: {said}")


def delete(
    host: Host,
    location: str,
    storage: str | None,
    service: dict[str, Any] | None = None,
    where: dict[str, Any] | None = None,
) -> list[str]:
    """Delete what a module has stored, after it was dumped; return what was deleted.

    Args:
        host: This one.
        location: Its name in Dagster, and of its folder in the storage.
        storage: The folder of everybody's stored assets, where Dagster runs; None where that is no folder.
        service: Its database's: ``folder`` of the Compose project, and ``volumes``; its container is gone already.
        where: Where Dagster runs.
    """
    gone = []
    for volume in volumes(host, **service) if service else []:
        code, said = host.client.run(["docker", "volume", "rm", volume], limit=60)
        if code:
            raise RefusedError("docker", f"The volume {volume} could not be deleted: {tail(said)}")
        gone.append(f"the volume {volume}")
    if storage and is_stored(host, where, host.modules, storage, location):
        code, said = run_where(host, where, ["rm", "-rf", "--", f"{storage}/{location}"], host.modules, 600, {})
        if code:
            raise RefusedError("data", f"{storage}/{location} could not be deleted: {tail(said)}")
        gone.append(f"{storage}/{location}")
    return gone


def volumes(host: Host, folder: str, volumes: list[str]) -> list[str]:
    """Return the engine's names of a Compose project's volumes."""
    labels = [f"label=com.docker.compose.project={project_name(host, folder)}", "label=com.docker.compose.volume="]
    command = ["docker", "volume", "ls", "--quiet", "--filter", labels[0], "--filter"]
    return [one for name in volumes for one in host.client.run([*command, labels[1] + name], limit=60)[1].split()]
