"""What a task gives its reader: text for a person, or data for a program, and what to do next."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dagster_module_builder.disclosure import terminal
from dagster_module_builder.disclosure.messages import harmless_data

#: Tasks that have nothing to do with a workspace.
_WITHOUT_ROOT = {"completion", "demo"}


@dataclass(frozen=True)
class Step:
    """What a person may do next.

    Attributes:
        command: The task and its arguments, without the program's name; empty if it is not a command.
        purpose: What it is for, in a few words: ``run its assets once``.
    """

    command: Sequence[str]
    purpose: str


@dataclass
class TaskOutput:
    """The output of a task that is running.

    Attributes:
        name: The task's full name.
        as_json: Whether a program reads it.
        quiet: Whether only names, errors and questions are printed.
        root: The value of ``--root``; None if it was not passed.
        data: The result for programs.
        error: Why the task failed; empty if it did not.
        results: With the error, the result of each host.
        steps: What may be done next.
        is_stream: Whether parts of the result were printed already; there is no other one.
        tasks: The results of the tasks that this one has run, by their names.
    """

    name: str = ""
    as_json: bool = False
    quiet: bool = False
    root: str | None = None
    data: Any = None
    error: str = ""
    results: list[Any] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    is_stream: bool = False
    tasks: dict[str, Any] = field(default_factory=dict)

    @property
    def result(self) -> Any:
        """The task's own result: what it has done until it failed, too."""
        if self.data is None:
            return {"error": self.error, "results": self.results} if self.error else {}
        # What failed on hosts is a list, and says so of each.
        return {"error": self.error, **self.data} if self.error and isinstance(self.data, Mapping) else self.data

    @property
    def document(self) -> Any:
        """The result for programs, with the error, the results of tasks that were run, and the next steps."""
        data = self.result
        if not isinstance(data, Mapping):
            return data
        following = [
            {"command": shlex.join([program_name(), *step.command]) if step.command else None, "purpose": step.purpose}
            for step in self.steps
        ]
        return {
            **data,
            **({"tasks": self.tasks} if self.tasks else {}),
            **({"next": following} if following else {}),
        }


#: The running tasks: the one that was typed, and those that it runs.
_running: list[TaskOutput] = []


def step(purpose: str, *command: str) -> Step:
    """Return a next step: in the workspace that was named with ``--root``.

    Args:
        purpose: What it is for: ``run its assets once``.
        command: The task and its arguments, as they are: they are quoted where they are printed. Empty if a person
            does something else.
    """
    root = current().root
    if command and root and command[0] not in _WITHOUT_ROOT:
        command = (*command, "--root", root)
    return Step(command, purpose)


def current() -> TaskOutput:
    """Return the output of the task that is running; one that is not printed if there is none."""
    return _running[-1] if _running else TaskOutput()


@contextlib.contextmanager
def of_task(name: str, *, as_json: bool, quiet: bool, root: str | None) -> Iterator[TaskOutput]:
    """Collect a task's output, and print what is printed at its end, also if it fails.

    A task that another task runs hands its output to that one.

    Args:
        name: The task's full name.
        as_json: Whether ``--json`` was passed.
        quiet: Whether ``--quiet`` was passed.
        root: The value of ``--root``.
    """
    above = _running[-1] if _running else None
    output = TaskOutput(name, as_json, quiet, root)
    if above:
        output.as_json, output.quiet, output.steps = above.as_json, above.quiet, above.steps
    _running.append(output)
    try:
        with terminal.silent(say=output.as_json or output.quiet, inform=output.quiet):
            yield output
    finally:
        _running.pop()
        if above:
            above.tasks[name] = output.result
        elif output.as_json:
            if output.result or not output.is_stream:
                print_json(output.document)
        elif not output.quiet:
            _say_steps(output.steps)


def print_json(data: Any, *, indent: int | None = 2) -> bool:
    """Print data as JSON, without values that may be secret; return whether it still has a reader."""
    text = json.dumps(harmless_data(data), indent=indent, default=str)
    # JSON does not escape DEL.
    return terminal.write(sys.stdout, text.replace("\x7f", "\\u007f"))


def program_name() -> str:
    """Return the command's name as it was typed: ``invoke`` or ``dagster-module-builder``."""
    typed = Path(sys.argv[0]).name
    return "invoke" if typed in {"invoke", "inv", "__main__.py"} else typed


def _say_steps(steps: Sequence[Step]) -> None:
    """Print the next steps: each line can be pasted into a shell."""
    if not steps:
        return
    terminal.say("\nNext:")
    typed = [shlex.join([program_name(), *step.command]) if step.command else "" for step in steps]
    width = max(map(len, typed))
    for line, each in zip(typed, steps, strict=True):
        # A folder's name may have a line feed, behind which a shell would run what follows.
        purpose = each.purpose.replace("\n", "\\n")
        terminal.say(f"  {line:<{width}}  # {purpose}" if line else f"  # {purpose}")
