"""The Dagster that ``deploy.setup --start`` made here: started, watched and stopped."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shlex
import signal
import socket
import subprocess
import time

from .client import tail
from .errors import RefusedError
from .files import digest, put, read, read_json, remove_tree, sync
from .outside import installed
from .processes import named_by_processes, start_of
from .service import START, processes_of, python_of, service_path, service_settings
from .systemd import has_systemd, keep_lingering, start_unit, surroundings, systemctl, unit_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .host import Host

#: Seconds that a process may take to start and answer, and to end.
STARTING, ENDING = 180.0, 30.0
#: The processes that this conversation started. They are its children: an ended one still has its process number.
CHILDREN: dict[str, subprocess.Popen[bytes]] = {}


def by_hand(host: Host, folder: str) -> list[str]:
    """Return the commands that start the processes by hand."""
    python, start = map(shlex.quote, (str(python_of(host, folder)), service_path(host, folder, START)))
    return [f"nohup {python} {start} {name} >/dev/null 2>&1 &" for name in processes_of(host, folder)]


def is_running(host: Host, folder: str, name: str, *, by_systemd: bool) -> bool:
    """Tell whether a process of the service runs, or is about to be restarted."""
    if by_systemd:
        _, said = systemctl(host, "is-active", unit_name(host, folder, name))
        return said.strip() in {"active", "activating", "reloading"}
    child = CHILDREN.get(service_path(host, folder, name))
    if child is not None and child.poll() is not None:
        return False
    return process_of(host, folder, name) is not None


def process_of(host: Host, folder: str, name: str) -> int | None:
    """Return the number of a process that was started without systemd; None if it does not run."""
    noted = read_json(service_path(host, folder, f"{name}.pid"), {})
    is_it = bool(noted) and start_of(noted["process"]) == noted["start"] is not None
    return noted["process"] if is_it and not has_ended(noted["process"]) else None


def has_ended(process: int) -> bool:
    """Tell whether a process has ended but still has its number: a zombie (the field ``state`` of proc(5))."""
    with contextlib.suppress(OSError):
        return (read(f"/proc/{process}/stat") or b"").rpartition(b")")[2].split()[:1] in ([b"Z"], [b"X"])
    return True


def refuse_taken(port: int) -> None:
    """Refuse a port on which another program listens."""
    with socket.socket(socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise RefusedError(
                "port",
                f"Another program uses port {port} of the host. Stop it, or set 'url:' below 'dagster:' in "
                f"deployment.yaml to a free port.",
            ) from None


def check_port(host: Host, folder: str, port: int) -> dict[str, Any]:
    """Refuse a port that another program uses, before an environment is built, which takes minutes.

    Args:
        host: This host.
        folder: The folder below the base that Dagster is started in.
        port: The port for its webserver.
    """
    if not is_running(host, folder, "webserver", by_systemd=has_systemd(host)):
        refuse_taken(port)
    return {}


def start_service(host: Host, folder: str, changed: bool) -> dict[str, Any]:
    """Start the service with its current files; called again, change nothing.

    Args:
        host: This host.
        folder: The folder below the base that Dagster is started in.
        changed: Whether its files have changed.

    Returns:
        ``started``: the processes that did not run before; ``by``: ``systemd`` or ``processes``; ``lingers``: whether
        systemd keeps them when the user logs out; ``runs``: the number of runs in progress, if they kept the service
        from being restarted; ``by_hand``: the commands that start it by hand.
    """
    by_systemd = has_systemd(host)
    answer = {"by": "systemd" if by_systemd else "processes", "runs": 0, "by_hand": by_hand(host, folder)}
    running = [name for name in processes_of(host, folder) if is_running(host, folder, name, by_systemd=by_systemd)]
    if running and changed:
        if runs := runs_in_progress(host):
            return {**answer, "started": [], "lingers": True, "runs": runs}
        stop_processes(host, folder, by_systemd=by_systemd)
        running = []
    missing = [name for name in processes_of(host, folder) if name not in running]
    if "webserver" in missing:
        refuse_taken(int(service_settings(host, folder)["port"]))
    lingers = not by_systemd or keep_lingering(host)
    if missing:
        migrate(host, folder)
    try:
        for name in missing:
            start_unit(host, folder, name) if by_systemd else start_process(host, folder, name)
        await_service(host, folder, by_systemd=by_systemd)
    except BaseException:
        for name in missing:
            stop_one(host, folder, name, by_systemd=by_systemd)
        raise
    prune_environments(host, folder)
    return {**answer, "started": missing, "lingers": lingers}


def prune_environments(host: Host, folder: str) -> None:
    """Remove the service's old environments, unless a process still runs in one."""
    current, environments = str(python_of(host, folder)), service_path(host, folder, "environments")
    old = [os.path.join(environments, name) for name in os.listdir(environments)]
    old = [path for path in old if not current.startswith(f"{path}/")]
    named = named_by_processes() if old else ""
    for path in old:
        if path not in named:
            remove_tree(path)


def config_of(host: Host, folder: str) -> str:
    """Return the path of ``dagster.yaml``."""
    return service_path(host, folder, "home", "dagster.yaml")


def migrate(host: Host, folder: str) -> None:
    """Make the tables of Dagster's storage, before two processes that start at once would both make them."""
    settings, python = service_settings(host, folder), str(python_of(host, folder))
    done, made_for = (
        service_path(host, folder, "migrated"),
        f"{python} {digest(read(config_of(host, folder)))}".encode(),
    )
    if read(done) == made_for:
        return
    command = [python, "-m", "dagster", "instance", "migrate"]
    environ = {**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, **settings["environ"]}
    code, said = host.client.run(command, limit=300, cwd=settings["folder"], env=environ)
    if code:
        raise RefusedError("service", f"Dagster cannot use its storage:\n{tail(said)}")
    put(done, made_for)


def start_process(host: Host, folder: str, name: str) -> None:
    """Start a process without systemd; it outlives this conversation."""
    command = [str(python_of(host, folder)), service_path(host, folder, START), name]
    log = os.open(service_path(host, folder, f"{name}.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(
            command, cwd=host.base, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    finally:
        os.close(log)
    CHILDREN[service_path(host, folder, name)] = process
    noted = {"process": process.pid, "start": start_of(process.pid)}
    put(service_path(host, folder, f"{name}.pid"), json.dumps(noted).encode())
    sync(service_path(host, folder))


def restart_daemon(host: Host, folder: str) -> dict[str, Any]:
    """Restart the daemon, so that it knows the current workspace, unless runs are in progress.

    Args:
        host: This host.
        folder: The folder below the base that Dagster is started in.
    """
    by_systemd = has_systemd(host)
    if not is_running(host, folder, "daemon", by_systemd=by_systemd) or runs_in_progress(host):
        return {"restarted": False}
    stop_one(host, folder, "daemon", by_systemd=by_systemd)
    start_unit(host, folder, "daemon") if by_systemd else start_process(host, folder, "daemon")
    await_service(host, folder, by_systemd=by_systemd)
    return {"restarted": True}


def await_service(host: Host, folder: str, *, by_systemd: bool) -> None:
    """Wait until the webserver answers and the daemon is healthy."""
    until, names = time.monotonic() + STARTING, processes_of(host, folder)
    while True:
        host.client.check()
        for name in names:
            if not is_running(host, folder, name, by_systemd=by_systemd):
                raise RefusedError("service", f"Dagster's {name} ended:\n{log_of(host, folder, name)}")
        with contextlib.suppress(RefusedError):
            if host.dagster.daemons() or "daemon" not in names:
                return
        if time.monotonic() > until:
            said = "\n".join(log_of(host, folder, name) for name in names)
            raise RefusedError("service", f"Dagster was not ready within {STARTING:g} seconds:\n{said}")
        time.sleep(0.2)


def log_of(host: Host, folder: str, name: str) -> str:
    """Return the last lines of a process's log."""
    path = service_path(host, folder, f"{name}.log")
    if os.path.exists(path):
        return tail((read(path) or b"")[-8000:].decode("utf-8", "replace"))
    command = ["journalctl", "--user", "--no-pager", "--lines=25", "--unit", unit_name(host, folder, name)]
    return tail(host.client.run(command, limit=60, env=surroundings())[1]) if installed("journalctl") else ""


def runs_in_progress(host: Host) -> int:
    """Return the number of runs in progress; 0 if Dagster does not answer."""
    try:
        return len(host.dagster.runs())
    except RefusedError:
        return 0


def stop_service(host: Host, folder: str, ends_runs: bool = False) -> dict[str, Any]:
    """Stop the service, also from starting at boot; its files and its data are kept.

    Args:
        host: This host.
        folder: The folder below the base that Dagster is started in.
        ends_runs: Stop it even while runs are in progress, which end with it.

    Returns:
        ``stopped``: the processes that ran.
    """
    if not service_settings(host, folder):
        return {"stopped": []}
    by_systemd = has_systemd(host)
    running = [name for name in processes_of(host, folder) if is_running(host, folder, name, by_systemd=by_systemd)]
    if running and not ends_runs and (runs := runs_in_progress(host)):
        raise RefusedError("runs", f"{runs} runs are in progress and would be ended: wait for them, or pass --yes.")
    stop_processes(host, folder, by_systemd=by_systemd)
    return {"stopped": running}


def stop_processes(host: Host, folder: str, *, by_systemd: bool) -> None:
    """Stop all of the service's processes, including those that were started without systemd."""
    for name in processes_of(host, folder):
        stop_one(host, folder, name, by_systemd=by_systemd)
        stop_one(host, folder, name, by_systemd=False)


def stop_one(host: Host, folder: str, name: str, *, by_systemd: bool) -> None:
    """Stop one process, with the code servers that it started."""
    if by_systemd:
        systemctl(host, "disable", "--now", unit_name(host, folder, name))
        return
    process = process_of(host, folder, name)
    if process is None:
        return
    until = time.monotonic() + ENDING
    # It leads its own session, so the process group has the same number.
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, number)
        while is_running(host, folder, name, by_systemd=False) and time.monotonic() < until:
            time.sleep(0.05)
    os.unlink(service_path(host, folder, f"{name}.pid"))
