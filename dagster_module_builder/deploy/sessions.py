"""Commands that a person runs on a host, with the environment of the release that runs there."""

from __future__ import annotations

import base64
import contextlib
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dagster_module_builder.base.errors import BuilderError, UsageError
from dagster_module_builder.deploy.hosts.holder import holder
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.deploy.hosts.targets import Target, targets_of
from dagster_module_builder.deploy.model.deployment import Deployment
from dagster_module_builder.disclosure.messages import harmless_text
from dagster_module_builder.programs import outside_programs
from dagster_module_builder.shared_files.formats import env_file

#: Stands for the interpreter of the release.
PYTHON = "{python}"
#: A login shell with a person's own settings, as far as there is one.
SHELL = ("/bin/sh", "-c", 'exec "${SHELL:-/bin/sh}"')
#: A container has none of a person's settings, and often has no bash.
CONTAINER_SHELL = ("/bin/sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash; exec sh")

_CONSOLE = """\
import importlib, sys
try:
    import readline, rlcompleter
    readline.parse_and_bind("tab: complete")
except ImportError:
    pass
from dagster import DagsterInstance
module = importlib.import_module({package!r})
defs = next((value for value in vars(module).values() if type(value).__name__ == "Definitions"), None)
print({banner!r}, file=sys.stderr)
"""


@dataclass(frozen=True)
class Session:
    """A command on a host that has ended.

    Attributes:
        host: The host.
        module: The module.
        release: The release whose environment it had.
        status: Its exit status; 255 if SSH failed.
    """

    host: str
    module: str
    release: str
    status: int


@dataclass(frozen=True)
class Place:
    """Where a command is run: one module on one host."""

    target: Target
    deployment: Deployment


#: Gets the text of each line, and returns whether it still has a reader.
Reader = Callable[[str], bool]


def place_of(deployments: Sequence[Deployment], hosts: Sequence[str]) -> Place:
    """Return the module and the host that were chosen.

    Raises:
        UsageError: There are several.
    """
    targets = targets_of(deployments, hosts)
    if len(targets) > 1:
        names = ", ".join(str(target) for target in targets)
        raise UsageError(f"This deployment has several hosts: pass --host with one of {names}.")
    (target,) = targets
    if len(target.deployments) > 1:
        names = ", ".join(target.modules)
        raise UsageError(f"Several modules have this deployment: pass --module with one of {names}.")
    return Place(target, target.first)


def run_command(
    place: Place,
    command: Sequence[str],
    *,
    action: str = "exec",
    terminal: bool = False,
    out: Reader | None = None,
    errors: Reader | None = None,
) -> Session:
    """Run a command in the folder of the release that runs there, with its environment.

    Args:
        place: The module and the host.
        command: The program and its arguments; ``PYTHON`` stands for the interpreter of the release.
        action: Its name in the module's log: ``exec``, ``shell`` or ``console``.
        terminal: Give it this process's terminal: its size, Ctrl-C, its exit.
        out: Gets its lines; None for this process's standard output, as it is.
        errors: The same of its standard error.

    Raises:
        RefusedError: The module is not deployed there, or the host is not trusted.
        ToolError: The host cannot be reached.
    """
    run = HostRun(place.target, lambda *_: None)
    try:
        # It connects while the host is asked.
        run.remote.prepare_bulk()
        deployment = place.deployment
        run.inspect([deployment.names.name], sorted(run.own_tools))
        answer = _enter(run, deployment, command, action, terminal=terminal)
        started = "exec " + shlex.join(answer["start"])
        ssh = [*run.remote.bulk(), *(["-tt"] if terminal else []), "--", place.target.host.address.host, started]
        status = outside_programs.attach(ssh, out, errors)
        # The command has run, whether the host can still log that or not.
        with contextlib.suppress(BuilderError):
            run.conversation.ask("left", status=status)
    finally:
        run.close()
    return Session(str(place.target), deployment.names.name, str(answer["release"]), status)


def _enter(
    run: HostRun, deployment: Deployment, command: Sequence[str], action: str, *, terminal: bool
) -> dict[str, Any]:
    """Have the host write down the command with its variables, which are in no arguments of any program."""
    name = deployment.names.name
    known = run.inspection["modules"][name]
    identity = known["state"].get("current")
    record = known["releases"].get(identity) or {}
    environ: dict[str, str] = {}
    if identity and not record.get("image"):
        # Dagster gives the settings of all modules to each of them, and so does this.
        own = base64.b64decode(run.conversation.ask("settings", module=name, identity=identity)["env"])
        environ = {**env_file.values(run.settings()[1]), **env_file.values(own)}
    return run.conversation.ask(
        "enter",
        module=name,
        command=list(command),
        environ=environ,
        source=deployment.source,
        python=run.python(deployment, record.get("environment")),
        folder=deployment.dagster_folder,
        terminal=terminal,
        log={name: harmless_text(text) for name, text in holder(action).items()},
        where=run.where,
    )


def shell_of(place: Place) -> Sequence[str]:
    """Return the command of a shell there."""
    in_container = place.deployment.kind == "compose" or place.deployment.strategy == "docker"
    return CONTAINER_SHELL if in_container else SHELL


def console_of(place: Place) -> Sequence[str]:
    """Return the command of an interactive Python with the module's definitions."""
    package = place.deployment.names.definitions
    banner = f"{package} on {place.target}: 'defs' are its definitions, DagsterInstance.get() is its instance."
    return [PYTHON, "-q", "-i", "-c", _CONSOLE.format(package=package, banner=banner)]


def has_terminal() -> bool:
    """Return whether a person sits at this process's terminal."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
