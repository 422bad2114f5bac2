"""The logs of Dagster's own processes on this host, and of modules' code servers."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re

from .compose import project
from .errors import RefusedError
from .log_lines import chosen, entries
from .outside import installed
from .servers import current_server
from .service import processes_of, service_path, service_settings
from .storage import processes_in
from .systemd import has_systemd, surroundings, unit_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from .host import Host

    #: Lines with the times at which they were written, where those are known; and the cursor behind them.
    Read = tuple[list[tuple[float | None, str]], str]
    #: The name of a log, and what reads it after a cursor.
    Source = tuple[str, Callable[[str | None], Read]]

#: Bytes of a log's end that are read at once, and lines asked of programs that keep logs.
LAST, LINES = 4 << 20, 5000
#: The time that Docker writes before each line: ``2026-01-05T06:00:00.123456789Z``.
DOCKERS = re.compile(r"(?:\S+\s+\| )?(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z ?")


def server_logs(
    host: Host,
    folder: str,
    modules: list[str],
    cursors: dict[str, str],
    level: str,
    text: str,
    since: float | None,
    most: int,
    where: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the newest entries of the servers' logs, or those after an earlier answer.

    Args:
        host: This host.
        folder: The folder below the base that Dagster runs in.
        modules: The modules whose code servers are meant, too.
        cursors: The ``cursors`` of an earlier answer.
        level: The least level.
        text: What an entry must contain.
        since: Seconds since 1970.
        most: How many entries to return.
        where: How to get into Dagster's container; None for a Dagster on this host.

    Returns:
        ``entries``, the oldest first by source; ``cursors``; ``notes``: whose log cannot be read, and why.
    """
    found: list[dict[str, Any]] = []
    notes: list[str] = []
    after = dict(cursors)
    for source, read_lines in sources(host, folder, modules, where, notes):
        try:
            lines, after[source] = read_lines(cursors.get(source))
        except RefusedError as error:
            notes.append(str(error))
            continue
        found += chosen(entries(source, lines), level, text, since, most)
    return {"entries": found, "cursors": after, "notes": notes if not cursors else []}


def sources(
    host: Host, folder: str, modules: list[str], where: dict[str, Any] | None, notes: list[str]
) -> Iterator[Source]:
    """Yield the name of each log, and what reads it after a cursor: lines with their times, and the next cursor."""
    if where is None:
        yield from native_sources(host, folder, notes)
    else:
        yield "dagster", functools.partial(of_compose, host, os.path.join(host.base, folder))
    for module in modules:
        server = current_server(host, module)
        if server:
            yield f"{module} (code server)", functools.partial(of_docker, host, ["docker", "logs"], [server])


def native_sources(host: Host, folder: str, notes: list[str]) -> Iterator[Source]:
    """Yield the logs of a Dagster on this host: of the one that ``deploy.setup --start`` made, or of another one."""
    if service_settings(host, folder):
        by_systemd = has_systemd(host)
        for name in processes_of(host, folder):
            path = service_path(host, folder, f"{name}.log")
            if os.path.exists(path) or not by_systemd:
                yield name, functools.partial(of_file, path)
            else:
                yield name, functools.partial(of_journal, host, unit_name(host, folder, name))
        return
    seen = 0
    for name, path in written_by(os.path.realpath(os.path.join(host.base, folder))):
        seen += 1
        yield name, functools.partial(of_file, path)
    if not seen:
        notes.append(
            "The log of this host's Dagster is not in a file that this login may read: whoever started it has it."
        )


def written_by(folder: str) -> Iterator[tuple[str, str]]:
    """Yield the file that each Dagster process in a folder writes its standard error to, once each."""
    known = set()
    for number in processes_in(folder):
        with contextlib.suppress(OSError):
            path = os.readlink(f"/proc/{number}/fd/2")
            if path not in known and os.path.isfile(path) and os.access(path, os.R_OK):
                known.add(path)
                yield os.path.splitext(os.path.basename(path))[0], path


def of_file(path: str, cursor: str | None) -> Read:
    """Return the lines of a file after a cursor, its inode and its size; a replaced file is read from its beginning."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            inode, _, place = (cursor or "").partition(":")
            begin = int(place) if inode == str(status.st_ino) and int(place) <= status.st_size else 0
            start = max(begin, status.st_size - LAST)
            file.seek(start)
            whole = file.read(status.st_size - start)
    except OSError as error:
        raise RefusedError("log", f"{path} cannot be read on the host: {error.strerror}.") from None
    # A line that is being written is left for the next time.
    whole = whole[: whole.rfind(b"\n") + 1]
    read = whole if start == begin else whole[whole.find(b"\n") + 1 :]
    lines: list[tuple[float | None, str]] = [(None, line) for line in read.decode("utf-8", "replace").splitlines()]
    return lines, f"{status.st_ino}:{start + len(whole)}"


def of_journal(host: Host, unit: str, cursor: str | None) -> Read:
    """Return the lines of a unit of systemd after a cursor of the journal."""
    if installed("journalctl") is None:
        raise RefusedError("log", "journalctl is not installed on the host.")
    after = ["--after-cursor", cursor] if cursor else ["--lines", str(LINES)]
    command = ["journalctl", "--user", "--no-pager", "--output", "json", *after, "--unit", unit]
    _, said = host.client.ask(command, answers=(0, 1), limit=60, env=surroundings())
    records = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    lines: list[tuple[float | None, str]] = [
        (int(one["__REALTIME_TIMESTAMP"]) / 1e6, str(one.get("MESSAGE", ""))) for one in records
    ]
    return lines, records[-1]["__CURSOR"] if records else cursor or ""


def of_compose(host: Host, folder: str, cursor: str | None) -> Read:
    """Return the lines of Dagster's containers after a time."""
    return of_docker(host, project(folder, "logs", "--no-color"), [], cursor)


def of_docker(host: Host, command: list[str], names: list[str], cursor: str | None) -> Read:
    """Return the lines of containers after a time, which is the cursor."""
    after = ["--since", cursor] if cursor else ["--tail", str(LINES)]
    status, said = host.client.run([*command, "--timestamps", *after, *names], limit=60)
    if status:
        raise RefusedError("docker", f"The log cannot be read on the host: {said.strip()[-500:]}")
    lines: list[tuple[float | None, str]] = []
    last = cursor or ""
    for line in sorted(said.splitlines(), key=date_of):
        found = DOCKERS.match(line)
        stamp = f"{found[1]}{found[2] or ''}Z" if found else ""
        if found and stamp > (cursor or ""):
            lines.append((time_of(found), line[found.end() :]))
            last = max(last, stamp)
    return lines, last


def date_of(line: str) -> str:
    """Return the time before a line of Docker's, by which the lines of several containers are sorted."""
    found = DOCKERS.match(line)
    return f"{found[1]}{found[2] or ''}" if found else ""


def time_of(found: re.Match[str]) -> float:
    """Return the time before a line as seconds since 1970."""
    from calendar import timegm
    from time import strptime

    return timegm(strptime(found[1], "%Y-%m-%dT%H:%M:%S")) + float(found[2] or 0)
