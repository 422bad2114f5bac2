"""What every task shares: its flags, its exit code, and help where Invoke would take ``--help`` for a name."""

from __future__ import annotations

import functools
import itertools
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from invoke.exceptions import Exit
from invoke.tasks import Task, task

from dagster_module_builder.base.errors import UsageError
from dagster_module_builder.base.settings import workspace_root
from dagster_module_builder.commands import console
from dagster_module_builder.commands.failing import end
from dagster_module_builder.commands.numbers import NumberTask
from dagster_module_builder.disclosure import terminal

#: A change stands on the hosts, but something behind it failed that a person has to look at.
INCOMPLETE = 3


class EndedError(KeyboardInterrupt):
    """The program was asked to end by a signal other than Ctrl-C: it cleans up in the same way."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def _end(number: int, _frame: object) -> NoReturn:
    raise EndedError(number)


ROOT_HELP = "The workspace's root folder (default: $DAGSTER_WORKSPACE, else ~/workspace)."
JSON_HELP = "Print JSON on stdout."
DRY_RUN_HELP = "Show what would change, and change nothing."
YES_HELP = "Answer every question with yes."

_HELP_FLAGS = {"--help", "-h"}


def command(name: str, *, help: Mapping[str, str], **options: Any) -> Callable[[Callable[..., Any]], Task[Any]]:  # noqa: A002 - Invoke's own word
    """Make a task whose failures are one message on stderr and an exit code.

    Args:
        name: The task's name with its collection's (``workspace.add``).
        help: What each flag means.
        options: Passed on to Invoke.
    """

    def decorate(body: Callable[..., Any]) -> Task[Any]:
        @functools.wraps(body)
        def run(context: Any, *args: Any, **flags: Any) -> Any:
            terminal.open_descriptors()
            if _HELP_FLAGS.intersection(value for value in (*args, *flags.values()) if isinstance(value, str)):
                show_help(name)
            # A kill, and a terminal that is closed, take back what is half done, as Ctrl-C does.
            for number in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is signal.SIG_DFL:
                    signal.signal(number, _end)
            try:
                return body(context, *args, **flags)
            except Exit as ended:
                # Invoke would print the message as it is.
                _tell_why(ended, as_json=bool(flags.get("json")))
                raise Exit(code=ended.code) from None
            except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the one place where all of them end
                end(error, as_json=bool(flags.get("json")))

        made: Task[Any] = task(name=name.rpartition(".")[2], help=dict(help), klass=NumberTask, **options)(run)
        return made

    return decorate


def _tell_why(ended: Exit, *, as_json: bool) -> None:
    """Say why a task ends, or that its report, which says it, is not read."""
    if ended.message:
        if as_json and not console.has_said_json():
            console.say_json({"error": ended.message, "results": []})
        terminal.tell(ended.message)
    elif ended.code and not terminal.has_reader():
        terminal.tell("Error: What is wrong could not be written: standard output is closed.")


def show_help(name: str) -> NoReturn:
    """Print the help of a task, and end. In a process of its own: Invoke uses up the texts when it parses."""
    typed = [argument.replace("_", "-") for argument in sys.argv]
    before = sys.argv[: typed.index(name)] if name in typed else sys.argv[:1]
    os.execv(sys.executable, [sys.executable, *before, "--help", name])  # noqa: S606 - no shell is wanted


def name_unless(*flags: str) -> list[str]:
    """Return the arguments without a flag of a task that takes a name, or one of these flags in its place.

    Invoke demands every such argument, and knows none that may be left out: what was typed decides.
    """
    return [] if set(flags) & set(sys.argv) else ["name"]


def typed_of(task_name: str, *names: str) -> list[str]:
    """Return the arguments of a task that stand without a flag right behind it; the first one always does.

    Invoke demands every such argument, and knows none that may be left out: what was typed decides.
    """
    behind = sys.argv[sys.argv.index(task_name) + 1 :] if task_name in sys.argv else []
    words = list(itertools.takewhile(lambda word: not word.startswith("-"), behind))
    return list(names[: max(1, len(words))])


def root_of(given: str | None) -> Path:
    """Return the workspace's root for the value of ``--root``."""
    return workspace_root(given)


def choice(flag: str, value: str, allowed: tuple[str, ...]) -> str:
    """Return a flag's value if it is one of those allowed.

    Raises:
        UsageError: It is not.
    """
    if value not in allowed:
        raise UsageError(f"--{flag}: {value!r} is not one of {', '.join(allowed)}.")
    return value
