"""What could be typed next: tasks, flags, values, and the names of modules, deployments, releases and backups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from invoke.collection import Collection
from invoke.program import Program

from dagster_module_builder.base.settings import workspace_root
from dagster_module_builder.commands.typed_words import known_names
from dagster_module_builder.commands.typed_words.command_line import CommandLine, Flags, split, tasks_of, value_of


def candidates(words: Sequence[str], namespace: Collection, program: Program) -> Mapping[str, str]:
    """Return what could stand in place of the last word, each with a short description.

    Args:
        words: The words behind the program's name, up to the one that is being typed, which may be empty.
        namespace: The tasks.
        program: Invoke's program, for its own flags.
    """
    # bash takes '--flag=' apart; the other shells complete the whole word.
    prefix = f"{words[-1].partition('=')[0]}=" if words and words[-1].startswith("--") and "=" in words[-1] else ""
    *before, typed = _with_equals(words) or [""]
    tasks = tasks_of(namespace)
    line = split(before, Flags.of_invoke(program))
    if not line.task:
        found = _tasks(tasks) if not typed.startswith("-") else dict.fromkeys(Flags.of_invoke(program).names, "")
    elif line.task in tasks:
        found = _of_task(line, typed, tasks[line.task])
    else:
        group = f"{line.task}."
        found = {name[len(group) :]: text for name, text in _tasks(tasks).items() if name.startswith(group)}
    return {prefix + word: text for word, text in found.items() if word.startswith(typed)}


def _with_equals(words: Sequence[str]) -> list[str]:
    """Return the words with ``--flag = value``, as bash splits it, and ``--flag=value`` as a flag and its value."""
    parted = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    return [word for position, word in enumerate(parted) if word != "=" or position == 0] + [""] * (words[-1:] == ["="])


def _tasks(tasks: Mapping[str, Any]) -> dict[str, str]:
    return {name: _first_sentence(task.__doc__ or "") for name, task in tasks.items()}


def _first_sentence(text: str) -> str:
    return text.strip().partition("\n")[0].partition(". ")[0].rstrip(".")


def _of_task(line: CommandLine, typed: str, task: Any) -> dict[str, str]:
    flags = Flags.of_task(task)
    last = line.after[-1] if line.after else ""
    if last in flags.with_value:
        return dict.fromkeys(_values(last, line), "")
    if typed.startswith("-"):
        helps = {f"--{name}": _first_sentence(text) for name, text in task.help.items()}
        return {name: helps.get(name, "") for name in flags.names if name.startswith("--")}
    position = sum(1 for _ in flags.values(line.after))
    return dict.fromkeys(_names(line, position), "")


def _values(flag: str, line: CommandLine) -> Sequence[str]:
    if flag in known_names.OF_VALUES:
        return known_names.OF_VALUES[flag]
    names = known_names.OF_FLAGS.get(flag)
    return known_names.known(names, _root(line)) if names else []


def _names(line: CommandLine, position: int) -> Sequence[str]:
    named = known_names.of_task(line.task)
    if named and position == 0:
        return known_names.known(named[1], _root(line))
    if line.task == "deploy.rollback" and position == 1:
        return known_names.known(lambda root: known_names.releases(root, line.after[0]), _root(line))
    return []


def _root(line: CommandLine) -> Path:
    return workspace_root(value_of("--root", line.after))
