"""What was typed, before Invoke parses it: tasks in two words, mistyped words, names that were left out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from invoke.collection import Collection
from invoke.parser.context import ParserContext
from invoke.program import Program

from dagster_module_builder.base.errors import UsageError
from dagster_module_builder.base.names import did_you_mean

#: Flags of Invoke behind which anything may come: its own completion, help and lists.
_LEFT_ALONE = frozenset({"complete", "help", "h", "list", "l", "print-completion-script", "version", "V"})

#: The tasks that take a command of another program behind ``--``, which is left as it is.
_TAKE_COMMANDS = frozenset({"deploy.exec"})


@dataclass(frozen=True)
class Flags:
    """The flags of a task, or of Invoke itself.

    Attributes:
        names: As they are typed: ``--dry-run``.
        with_value: Those that take a value.
        positional: The flags that stand for the words without one, in their order.
    """

    names: Sequence[str]
    with_value: frozenset[str]
    positional: Sequence[str] = ()

    @classmethod
    def of_task(cls, task: Any) -> Flags:
        """Return a task's flags, as they are typed: ``--dry-run``."""
        context = ParserContext(task.name, args=task.get_arguments())
        valued = frozenset(flag for flag, argument in context.flags.items() if argument.takes_value)
        names = [name for name in (*context.flags, *context.inverse_flags) if name.startswith("--")]
        short = [flag for flag in context.flags if not flag.startswith("--")]
        return cls([*names, *short], valued, [f"--{argument.name}" for argument in context.positional_args])

    @classmethod
    def of_invoke(cls, program: Program) -> Flags:
        """Return Invoke's own flags."""
        names = {
            ("--" if len(name) > 1 else "-") + name: argument.takes_value and not argument.optional
            for argument in (*program.core_args(), *program.task_args())
            for name in argument.names
        }
        return cls([*names], frozenset(name for name, takes_value in names.items() if takes_value))

    def names_nothing(self, words: Sequence[str]) -> bool:
        """Tell whether the task needs a word without a flag, and its flag is not typed either."""
        return bool(self.positional) and all(word.partition("=")[0] != self.positional[0] for word in words)

    def values(self, words: Sequence[str]) -> Iterator[tuple[int, str]]:
        """Yield the words that are neither flags nor their values, with their positions."""
        skip = False
        for position, word in enumerate(words):
            if skip:
                skip = False
            elif word.startswith("-") and word != "-":
                skip = word in self.with_value
            else:
                yield position, word


@dataclass(frozen=True)
class CommandLine:
    """The words behind the program's name.

    Attributes:
        before: Invoke's own flags.
        task: The first task; empty if there is none.
        after: What follows it.
    """

    before: Sequence[str]
    task: str = ""
    after: Sequence[str] = field(default=())

    @property
    def words(self) -> list[str]:
        """All words."""
        return [*self.before, *([self.task] if self.task else []), *self.after]

    @property
    def leaves_to_invoke(self) -> bool:
        """Whether Invoke is asked for something else than a task."""
        flags = itertools.takewhile(lambda word: word != "--", self.words)
        return any(word.lstrip("-").partition("=")[0] in _LEFT_ALONE for word in flags if word.startswith("-"))


def split(words: Sequence[str], invoke: Flags) -> CommandLine:
    """Split a command line at its first task."""
    first = next((position for position, _ in invoke.values(words)), None)
    if first is None:
        return CommandLine(words)
    return CommandLine(words[:first], words[first], words[first + 1 :])


def joined(words: Sequence[str], namespace: Collection, program: Program) -> list[str]:
    """Return a command line with its task in one word.

    ``workspace add sales`` -> ``workspace.add sales``; ``help deploy`` -> ``--help deploy``

    Args:
        words: The words behind the program's name.
        namespace: The tasks.
        program: Invoke's program, for its own flags.

    Raises:
        UsageError: There is no such task; the message says what was probably meant.
    """
    line = split(words, Flags.of_invoke(program))
    if not line.task or line.leaves_to_invoke:
        return list(words)
    tasks = tasks_of(namespace)
    line = _joined(line, tasks)
    if line.task == "help":
        return [*line.before, "--help", *line.after]
    if line.task not in tasks:
        raise UsageError(_unknown_task(line.task, tasks))
    return line.words


def completed(
    words: Sequence[str], namespace: Collection, program: Program, ask: Callable[[str, Sequence[str]], str | None]
) -> list[str]:
    """Return a command line with the name that its task needs.

    Args:
        words: As ``joined`` returns them.
        namespace: The tasks.
        program: Invoke's program, for its own flags.
        ask: Gets a task whose name was left out, and the words behind the task; returns the name, or None to let
            Invoke say that it is missing.

    Raises:
        UsageError: The task has no such flag, or takes no more words; the message says what was probably meant.
    """
    line = split(words, Flags.of_invoke(program))
    if not line.task or line.leaves_to_invoke:
        return list(words)
    tasks = tasks_of(namespace)
    flags = Flags.of_task(tasks[line.task])
    ends = {*tasks, "--"} if line.task in _TAKE_COMMANDS else set(tasks)
    own = list(itertools.takewhile(lambda word: word not in ends, line.after))
    _refuse_unknown_flags(line.task, own, flags)
    typed = [word for _, word in flags.values(own)]
    if extra := typed[len(flags.positional) :]:
        # 'deploy' is a task as well as a group of tasks.
        group = [name for name in tasks if name.startswith(f"{line.task}.")]
        hint = did_you_mean(f"{line.task}.{typed[0]}", group) or f" '{line.task} --help' shows what it takes."
        raise UsageError(f"Unexpected argument {extra[0]!r}.{hint}")
    if not typed and flags.names_nothing(own) and (name := ask(line.task, own)):
        line = CommandLine(line.before, line.task, [name, *line.after])
    return line.words


def tasks_of(namespace: Collection) -> Mapping[str, Any]:
    """Return all tasks by each of their names."""
    names = namespace.task_names
    return {name: namespace[task] for task, others in names.items() for name in (task, *others)}


def value_of(flag: str, words: Sequence[str]) -> str | None:
    """Return the value of a flag, typed as ``--root x`` or ``--root=x``; None if it is not there."""
    for position, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name == flag:
            return value if equals else "".join(words[position + 1 : position + 2])
    return None


def _joined(line: CommandLine, tasks: Mapping[str, Any]) -> CommandLine:
    """Read ``workspace add`` as ``workspace.add``, and ``configure_deployment`` as ``configure-deployment``."""
    dashed = line.task.replace("_", "-")
    if line.task not in tasks and dashed in tasks:
        return CommandLine(line.before, dashed, line.after)
    both = f"{line.task}.{line.after[0].replace('_', '-')}" if line.after else ""
    # 'deploy' is a task, too: 'deploy status' may be a deployment called so, but 'deploy status yoda' is not.
    if both in tasks and (line.task not in tasks or _is_word(line.after[1:2])):
        return CommandLine(line.before, both, line.after[1:])
    return line


def _is_word(following: Sequence[str]) -> bool:
    return bool(following) and not following[0].startswith("-")


def _unknown_task(task: str, tasks: Mapping[str, Any]) -> str:
    if inner := [name for name in tasks if name.startswith(f"{task}.")]:
        return f"{task!r} is a group of tasks: {', '.join(inner)}."
    return f"Unknown task {task!r}.{did_you_mean(task, tasks) or ' --list shows all tasks.'}"


def _refuse_unknown_flags(task: str, words: Sequence[str], flags: Flags) -> None:
    for word in words:
        name = word.partition("=")[0]
        if word.startswith("--") and len(name) > 2 and name not in flags.names:
            hint = did_you_mean(name, flags.names) or f" '{task} --help' shows its flags."
            raise UsageError(f"Unknown flag {name!r} of '{task}'.{hint}")
