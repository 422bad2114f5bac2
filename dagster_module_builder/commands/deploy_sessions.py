"""``deploy.exec``, ``.shell``, ``.console``: commands on a host, with the environment of the release there."""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO

from invoke.exceptions import Exit

from dagster_module_builder.base.errors import UsageError
from dagster_module_builder.commands import console
from dagster_module_builder.commands.deployment_task import Chosen, deployment_task
from dagster_module_builder.disclosure import terminal

if TYPE_CHECKING:
    from dagster_module_builder.deploy.sessions import Place, Session


@deployment_task(
    "deploy.exec",
    {"tty": "Give the command this terminal, for programs that ask or draw; its output is shown as it is."},
)
def exec_(chosen: Chosen, tty: bool = False) -> None:
    """Run a command on a host in the release's folder with its environment: deploy.exec NAME -- COMMAND."""
    from dagster_module_builder.deploy.sessions import has_terminal, place_of, run_command

    command = _typed_command()
    if tty and (console.is_for_programs() or not has_terminal()):
        raise UsageError("There is no terminal: leave out --tty.")
    place = place_of(chosen.deployments, chosen.hosts)
    if console.is_for_programs():
        _give_output(place, command)
        return
    out, errors = (None, None) if tty else (_shown(sys.stdout), _shown(sys.stderr))
    _end(run_command(place, command, terminal=tty, out=out, errors=errors))


def _typed_command() -> Sequence[str]:
    """Return what was typed behind ``--``; Invoke joins it to one text, which loses what belongs together."""
    typed = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
    if not typed:
        raise UsageError("The command is missing: deploy.exec NAME -- COMMAND.")
    return typed


def _shown(stream: TextIO | None) -> Callable[[str], bool] | None:
    """Return what prints a line to a terminal, where it can do no harm; None for a file or a pipe, which get bytes."""
    if stream is None or not stream.isatty():
        return None
    return functools.partial(terminal.write, stream, form=terminal.coloured)


def _give_output(place: Place, command: Sequence[str]) -> None:
    from dagster_module_builder.deploy.sessions import run_command

    out, errors = io.StringIO(), io.StringIO()
    session = run_command(place, command, out=_writer(out), errors=_writer(errors))
    console.give({**vars(session), "out": out.getvalue(), "errors": errors.getvalue()})
    _end(session)


def _writer(text: io.StringIO) -> Callable[[str], bool]:
    return lambda line: text.write(f"{line}\n") > 0


@deployment_task("deploy.shell")
def shell(chosen: Chosen) -> None:
    """Open a shell on a host, in the release's folder and with its environment."""
    from dagster_module_builder.deploy.sessions import shell_of

    _interactive(chosen, "shell", shell_of)


@deployment_task("deploy.console")
def console_(chosen: Chosen) -> None:
    """Open Python on a host, with the release's environment and its definitions imported."""
    from dagster_module_builder.deploy.sessions import console_of

    _interactive(chosen, "console", console_of)


def _interactive(chosen: Chosen, action: str, command_of: Callable[[Place], Sequence[str]]) -> None:
    from dagster_module_builder.deploy.sessions import has_terminal, place_of, run_command

    if console.is_for_programs() or not has_terminal():
        raise UsageError("This needs a terminal. To run a single command, use 'deploy.exec NAME -- COMMAND'.")
    place = place_of(chosen.deployments, chosen.hosts)
    _end(run_command(place, command_of(place), action=action, terminal=True))


def _end(session: Session) -> None:
    """Exit with the command's status."""
    if session.status:
        raise Exit(code=session.status)


TASKS = (exec_, shell, console_)
