"""``workspace.dev``: Dagster without containers, in the foreground, until it is interrupted."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dagster_module_builder.base import ports
from dagster_module_builder.base.errors import RefusedError, ToolError
from dagster_module_builder.native.code_servers import serving
from dagster_module_builder.native.dev_log import Follower, last_lines, log_file, new_log
from dagster_module_builder.native.local_dagster import Prepared, prepare
from dagster_module_builder.native.native_definitions import NotLoaded
from dagster_module_builder.native.native_environment import (
    process_environment,
    process_folder,
)
from dagster_module_builder.native.native_folder import HOME, announced
from dagster_module_builder.native.native_storage import make_storage, only_one
from dagster_module_builder.programs import graphql, outside_programs
from dagster_module_builder.programs.process_groups import ProcessGroup, group
from dagster_module_builder.shared_files.formats import dagster_yaml

#: Seconds between two looks at the log and at the page.
_PAUSE = 0.2
_SHOWN_LINES = 20


@dataclass(frozen=True)
class Ready:
    """Dagster answers.

    Attributes:
        url: The address of its page.
        loaded: The number of code locations that it loaded.
        failed: Those that it did not load.
        log: The file with what it writes.
    """

    url: str
    loaded: int
    failed: tuple[NotLoaded, ...]
    log: Path


def _ignore(_told: object) -> None:
    """Take what a caller does not want to know."""


@dataclass(frozen=True)
class DevEvents:
    """What is told while ``workspace.dev`` runs.

    Attributes:
        starting: Is called after the checks, before anything is made.
        step: Gets what is done next, such as ``"Starting Dagster"``.
        tell: Gets a sentence about each code location that is left out.
        ready: Gets the state when Dagster answers.
        stopping: Is called when Dagster has been asked to stop.
        log: Gets the lines that Dagster writes; None if they are not wanted.
    """

    starting: Callable[[], None] = lambda: None
    step: Callable[[str], None] = _ignore
    tell: Callable[[str], None] = _ignore
    ready: Callable[[Ready], None] = _ignore
    stopping: Callable[[], None] = lambda: None
    log: Callable[[str], None] | None = None


def dev(root: Path, port: int = 3000, host: str = "127.0.0.1", events: DevEvents | None = None) -> None:
    """Run the workspace in the foreground until it is interrupted.

    Args:
        root: The workspace's root.
        port: The port of Dagster's page.
        host: The address that it listens on.
        events: What is told meanwhile.

    Raises:
        RefusedError: It is already running, or another program listens on the port.
        ToolError: Dagster ended by itself; the error quotes the end of its log.
    """
    events = events or DevEvents()
    with only_one(root):
        if ports.is_listening(port):
            raise RefusedError(f"The port {port} is taken by another program. Choose another with --port.")
        events.starting()
        events.step("Preparing the environment")
        prepared = prepare(root)
        for line in prepared.left_out:
            events.tell(line)
        make_storage(root, prepared.python)
        _skip_the_welcome(root)
        events.step("Starting Dagster and loading the code locations")
        _serve(root, prepared, (host, port), events)


def _skip_the_welcome(root: Path) -> None:
    """Have Dagster's page open without its welcome, as after a person has closed it (``dagster._core.nux``)."""
    folder = root / HOME / ".nux"
    folder.mkdir(exist_ok=True)
    if not (folder / "nux.yaml").exists():
        (folder / "nux.yaml").write_text("seen: 1\n")


def _serve(root: Path, prepared: Prepared, address: tuple[str, int], events: DevEvents) -> None:
    host, port = address
    url = f"http://{host}:{port}"
    environ = process_environment(root)
    with (
        serving(root, prepared.python, prepared.workspace, environ) as (command, workspace),
        new_log(root) as log,
        _followed(log_file(root), events.log) as look,
        announced(root, url),
        group() as running,
    ):
        command += [
            str(prepared.python.parent / "dagster"), "dev", "-w", str(workspace), "-h", host, "-p", str(port),
            # Without it, it starts the code servers itself, and modules that are added later need a restart.
            "--use-legacy-code-server-behavior",
        ]  # fmt: skip
        options = {"cwd": process_folder(root), "env": environ}
        running.start(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, **options)
        ready, is_stopping = None, False
        while running.is_running:
            look()
            if running.asked_at is not None and not is_stopping:
                is_stopping = True
                events.stopping()
            elif not ready and not is_stopping and graphql.is_up(url) and (ready := _ready(root, url)):
                events.ready(ready)
            time.sleep(_PAUSE)
    if running.asked_at is None:
        raise _ended_by_itself(root, running)


@contextmanager
def _followed(file: Path, show: Callable[[str], None] | None) -> Iterator[Callable[[], None]]:
    """Give a function that shows the log's new lines."""
    if show is None:
        yield lambda: None
        return
    follower = Follower(file)

    def look() -> None:
        if lines := follower.new_lines():
            show(lines)

    try:
        yield look
    finally:
        if rest := follower.close():
            show(rest)


def _ready(root: Path, url: str) -> Ready | None:
    """Return the state of a Dagster that answers, or None if it still loads a location, or is not this workspace's.

    Another program may have taken the port since it was found free: then Dagster ends by itself.
    """
    if _is_of_others(root, url):
        return None
    try:
        states = graphql.load_errors(url)
    except ToolError as error:
        return Ready(url, 0, (NotLoaded("", str(error)),), log_file(root))
    errors = {name: error for name, error in states.items() if error is not None}
    if any(error.text == graphql.LOADING for error in errors.values()):
        return None
    failed = tuple(NotLoaded(name, error.text, _place(root, error)) for name, error in errors.items())
    return Ready(url, len(states) - len(failed), failed, log_file(root))


def _is_of_others(root: Path, url: str) -> bool:
    if b"local_artifact_storage" in (root / HOME / dagster_yaml.NAME).read_bytes():
        # A person chose the folder that a webserver tells; it may be anywhere.
        return False
    folder = graphql.instance_folder(url)
    return folder is not None and not Path(folder).resolve().is_relative_to(root.resolve())


def _place(root: Path, error: graphql.LoadError) -> str:
    """Return the ``path:line`` of an error: the last one in the code of the workspace, else that which raised it."""
    frames = [(os.path.normpath(file), line) for file, line in error.frames]
    own = [frame for frame in frames if frame[0].startswith(f"{root}{os.sep}") and "site-packages" not in frame[0]]
    return "".join(f"{file}:{line}" for file, line in (own or frames)[-1:])


def _ended_by_itself(root: Path, running: ProcessGroup) -> ToolError:
    file = log_file(root)
    status = running.process.returncode if running.process else 0
    lines = last_lines(file, _SHOWN_LINES)
    return ToolError(f"Dagster ended by itself ({outside_programs.ended(status)}).\n{lines}\nAll of its log: {file}")
