"""What every task shares: help texts, exit codes, and ``--help`` after a task's name, which Invoke does not support."""

from __future__ import annotations

import functools
import inspect
import itertools
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from invoke.exceptions import Exit
from invoke.tasks import Task, task

from dagster_module_builder.base.errors import UsageError
from dagster_module_builder.base.settings import workspace_root
from dagster_module_builder.commands import console, task_output
from dagster_module_builder.commands.failing import end
from dagster_module_builder.commands.numbers import NumberTask
from dagster_module_builder.disclosure import terminal

#: Exit code: the hosts have the new release, but a later step failed and needs attention.
INCOMPLETE = 3


class EndedError(KeyboardInterrupt):
    """A signal other than Ctrl-C asked the program to end; it cleans up as after Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def _end(number: int, _frame: object) -> NoReturn:
    raise EndedError(number)


ROOT_HELP = "The workspace's root folder (default: $DAGSTER_WORKSPACE, else the one around here, else ~/workspace)."
JSON_HELP = "Print the result as JSON on stdout; never ask."
QUIET_HELP = "Print nothing but errors, questions and, in lists, the names."
DRY_RUN_HELP = "Show what would change without changing anything."
YES_HELP = "Do not ask for confirmation."

_OF_EVERY_TASK = [
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=bool)
    for name in ("json", "quiet")
]

_HELP_FLAGS = {"--help", "-h"}


def command(name: str, *, help: Mapping[str, str], **options: Any) -> Callable[[Callable[..., Any]], Task[Any]]:  # noqa: A002 - Invoke's own word
    """Make a task that reports a failure as one message on stderr and an exit code.

    Args:
        name: The task's full name (``workspace.add``).
        help: The help text of each flag.
        options: Passed to Invoke.
    """
    # Invoke would make up short flags by the order of the arguments: -a for --database, -e for --delete-data.
    options.setdefault("auto_shortflags", False)

    def decorate(body: Callable[..., Any]) -> Task[Any]:
        @functools.wraps(body)
        def run(context: Any, *args: Any, **flags: Any) -> Any:
            terminal.open_descriptors()
            console.show_log()
            if _HELP_FLAGS.intersection(value for value in (*args, *flags.values()) if isinstance(value, str)):
                show_help(name)
            # SIGTERM and a closed terminal undo unfinished changes, as Ctrl-C does.
            for number in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is signal.SIG_DFL:
                    signal.signal(number, _end)
            as_json, quiet = bool(flags.pop("json", False)), bool(flags.pop("quiet", False))
            with task_output.of_task(name, as_json=as_json, quiet=quiet, root=flags.get("root")):
                try:
                    body(context, *args, **flags)
                except Exit as ended:
                    # Invoke would print the message without hiding secrets.
                    _report_exit(ended)
                    raise Exit(code=ended.code) from None
                except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the one place that handles all errors
                    end(error)

        # Invoke makes the flags from the signature.
        own = inspect.signature(body)
        run.__signature__ = own.replace(parameters=[*own.parameters.values(), *_OF_EVERY_TASK])  # type: ignore[attr-defined]
        texts = {**help, "json": JSON_HELP, "quiet": QUIET_HELP}
        decorated: Task[Any] = task(name=name.rpartition(".")[2], help=texts, klass=NumberTask, **options)(run)
        return decorated

    return decorate


def _report_exit(ended: Exit) -> None:
    """Print why a task ends, or that its report could not be written."""
    if ended.message:
        console.give_error(ended.message)
        terminal.alert(ended.message)
    elif ended.code and not terminal.has_reader():
        terminal.alert("Error: The result could not be written: standard output is closed.")


def show_help(name: str) -> NoReturn:
    """Print a task's help and exit. Runs in a new process: parsing consumes Invoke's help texts."""
    typed = [argument.replace("_", "-") for argument in sys.argv]
    before = sys.argv[: typed.index(name)] if name in typed else sys.argv[:1]
    os.execv(sys.executable, [sys.executable, *before, "--help", name])  # noqa: S606 - no shell is wanted


class Positional(Sequence[str]):
    """The positional arguments of a task that depend on what was typed: Invoke has no optional ones.

    Args:
        names: Gets the words that were typed behind the program's name, and returns the arguments' names.
    """

    def __init__(self, names: Callable[[Sequence[str]], Sequence[str]]) -> None:
        self._names = names

    def __len__(self) -> int:
        return len(self._names(sys.argv[1:]))

    def __getitem__(self, place: Any) -> Any:
        return self._names(sys.argv[1:])[place]


def name_unless(*flags: str) -> Positional:
    """Return the positional arguments of a task that takes a name or one of these flags.

    ``name_unless("--all")`` -> nothing if ``--all`` was typed, else ``name``.
    """
    return Positional(lambda typed: [] if set(flags) & set(typed) else ["name"])


def typed_of(task_name: str, *names: str, least: int = 1) -> Positional:
    """Return the positional arguments that were typed after a task's name, at least ``least``.

    ``deploy.rollback staging --json`` -> ``name``.
    """

    def typed_names(typed: Sequence[str]) -> Sequence[str]:
        following = typed[typed.index(task_name) + 1 :] if task_name in typed else []
        words = list(itertools.takewhile(lambda word: not word.startswith("-"), following))
        return names[: max(least, len(words))]

    return Positional(typed_names)


def root_of(root: str | None) -> Path:
    """Return the workspace's root from the value of ``--root``."""
    return workspace_root(root)


def choice(flag: str, value: str, allowed: tuple[str, ...]) -> str:
    """Return a flag's value if it is allowed.

    Raises:
        UsageError: The value is not allowed.
    """
    if value not in allowed:
        raise UsageError(f"Unknown value for --{flag}: {value!r}. Choose one of {', '.join(allowed)}.")
    return value
