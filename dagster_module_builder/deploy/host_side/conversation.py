"""Answers requests, one after the other, until the client is done or gone."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback

from . import PROTOCOL, logbook
from .automation import resume_quietly
from .client import Client
from .errors import GoneError, RefusedError
from .files import remove_tree
from .hooks import run_left
from .host import Host
from .journal import is_pending, reload_quietly, undo
from .server_end import drop_begun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

#: The module and the function for each request; it gets the host, and the request's values as keyword arguments.
REQUESTS: Mapping[str, str] = {
    "open": "inspection.inspect",
    "layout": "releases.make_layout",
    "write": "releases.write_new",
    "expect": "releases.expect",
    "begin": "releases.begin",
    "put": "releases.receive",
    "run": "programs.run_step",
    "hook": "hooks.run_hook",
    "log hooks": "hooks.log_hooks",
    "leave hook": "hooks.leave_hook",
    "environment": "environments.build_environment",
    "verify": "releases.verify",
    "check": "definitions.check_definitions",
    "fetch": "images.fetch",
    "layers": "images.layers_here",
    "serve": "server_start.serve_release",
    "port": "server_start.free_port",
    "hold": "automation.hold",
    "wait": "switching.await_runs",
    "switch": "switching.switch",
    "service port": "running.check_port",
    "service environment": "environments.build_service",
    "service files": "service.write_service",
    "start service": "running.start_service",
    "restart daemon": "running.restart_daemon",
    "stop service": "running.stop_service",
    "previews": "previews.list_previews",
    "reserve preview": "previews.reserve_preview",
    "note preview": "previews.note_preview",
    "drop preview": "previews.drop_preview",
    "bring": "storage.bring_storage",
    "keep": "keep_or_undo.keep",
    "back": "keep_or_undo.go_back",
    "daemon": "programs.settle_daemon",
    "dump": "dumps.dump",
    "remove": "keep_or_undo.remove_module",
    "log": "inspection.read_log",
    "settings": "inspection.settings_of",
    "contents": "inspection.contents_of",
    "running": "contents.running",
    "defined": "contents.defined",
    "unlock": "lock.unlock",
    "take": "taking.take",
    "enter": "sessions.enter",
    "left": "sessions.left",
    "runs": "run_history.latest_runs",
    "run events": "run_history.run_events",
    "printed": "run_history.printed",
    "server logs": "server_logs.server_logs",
}

#: Characters of a failure's message that are sent: a program's last line may have any length.
LONGEST_MESSAGE = 1 << 16


def serve(host: Host) -> None:
    """Answer requests until the client is done or gone; then undo unfinished work."""
    # A start file of the login shell may have written text without a newline at its end.
    host.client.say(b"\n")
    host.client.answer(hello=PROTOCOL, pid=os.getpid())
    try:
        for request in iter(host.client.next_request, None):
            host.client.answer(**respond(host, request))
    except GoneError:
        pass
    finally:
        clean_up(host)


def clean_up(host: Host) -> None:
    """Undo unfinished work; every step is tried, even if another one fails."""
    with reported():
        leave_sessions(host)
    # A journal under the lock belongs to this conversation.
    if host.lock is not None and is_pending(host):
        with reported():
            undo(host, lambda: end_log(host, back=True))
        with reported():
            reload_quietly(host)
    if host.lock is not None:
        with reported():
            resume_quietly(host)
    # If undoing failed, the next command goes on with it; it then ends the log and drops the servers.
    if host.lock is None or not is_pending(host):
        with reported():
            end_log(host, back=False)
        with reported():
            drop_begun(host)
    with reported():
        run_left(host)


def leave_sessions(host: Host) -> None:
    """Remove the files of this conversation's sessions."""
    while host.sessions:
        remove_tree(host.sessions.pop())


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Print the traceback of a failure in the block, and go on."""
    try:
        yield
    except Exception:  # noqa: BLE001 - the conversation is over, and nothing else would report it
        traceback.print_exc()


def end_log(host: Host, *, back: bool) -> None:
    """End the log of an operation that this conversation began and the client did not end."""
    if host.begun is not None:
        logbook.finish(host, logbook.how_it_went(host.begun, back=back, stands=host.begun["stands"]))


def work_of(request: str) -> Callable[..., dict[str, Any]]:
    """Return the function for a request; its module is imported now if nothing needed it before."""
    module, _, function = REQUESTS[request].partition(".")
    work: Callable[..., dict[str, Any]] = getattr(__import__(module, globals(), None, [function], 1), function)
    return work


def respond(host: Host, request: dict[str, Any]) -> dict[str, Any]:
    """Carry out one request."""
    try:
        work = work_of(request.pop("do"))
        return {"ok": True, "result": work(host, **request)}
    except RefusedError as error:
        return {"ok": False, "code": error.code, "message": str(error)[:LONGEST_MESSAGE], "details": error.details}
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return {"ok": False, "code": "os", "message": f"{where}{error.strerror or error}", "details": {}}
    except GoneError:
        raise
    except Exception as error:  # noqa: BLE001 - answered, as every other failure is
        # The client knows what is unfinished, and decides what comes next.
        traceback.print_exc()
        text = f"This should not have happened on the host ({type(error).__name__}: {str(error)[:200]})."
        return {"ok": False, "code": "host", "message": text, "details": {}}


def main() -> None:
    """Serve the client that started this process."""
    answers = os.fdopen(os.dup(1), "wb")
    # Text that a library prints must not end up between the answers.
    os.dup2(2, 1)
    client = Client(sys.stdin.buffer, answers)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: client.leave())
    serve(Host(client))
    os._exit(0)
