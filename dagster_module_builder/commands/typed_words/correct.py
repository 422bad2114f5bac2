"""Correct what was typed before Invoke parses it: in this program, and in stock ``invoke``."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from invoke.collection import Collection
from invoke.program import Program

from dagster_module_builder.base.errors import BuilderError, RefusedError, UsageError
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.base.settings import workspace_root
from dagster_module_builder.commands import console
from dagster_module_builder.commands.typed_words import command_line, known_names
from dagster_module_builder.commands.typed_words.candidates import candidates
from dagster_module_builder.disclosure import terminal


def correct(namespace: Collection, program: Program) -> bool:
    """Correct ``sys.argv``; return whether that changed it.

    Raises:
        BuilderError: A task, a flag or a name is unknown or missing.
    """
    complete(namespace, program)
    before = sys.argv[1:]
    # What a task takes may depend on what was typed.
    sys.argv[1:] = command_line.joined(before, namespace, program)
    sys.argv[1:] = command_line.completed(sys.argv[1:], namespace, program, _name_for)
    return sys.argv[1:] != before


def complete(namespace: Collection, program: Program) -> None:
    """Print what could be typed next and exit, if the shell's completion asks for that."""
    shell = os.environ.get("DAGSTER_MODULE_BUILDER_COMPLETE")
    if not shell or sys.argv[1:3] != ["--complete", "--"]:
        return
    with contextlib.suppress(BuilderError, OSError):
        for word, text in candidates(sys.argv[3:], namespace, program).items():
            terminal.say(f"{word}\t{text}" if text and shell != "bash" else word)
    sys.exit(0)


def correct_for_invoke(namespace: Collection) -> None:
    """Correct what was typed to stock ``invoke``, which has parsed its own flags by now: it starts again."""
    program = Path(sys.argv[0])
    if program.name not in {"invoke", "inv"} and program.parent.name != "invoke":
        return
    complete(namespace, Program())
    try:
        if correct(namespace, Program()):
            os.execv(sys.executable, [sys.executable, "-m", "invoke", *sys.argv[1:]])  # noqa: S606 - no shell is wanted
    except BuilderError as error:
        terminal.alert(f"Error: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def _name_for(task: str, words: Sequence[str]) -> str | None:
    """Return the name that a task needs and that was left out: it is asked for, or those there are are listed."""
    if not (named := known_names.of_task(task)):
        return None
    what, names_of = named
    root = workspace_root(command_line.value_of("--root", words))
    names = known_names.known(names_of, root)
    if names and console.interactive():
        return _asked(what, names)
    where = f"in {root}" if layout_of(root).exists else f"since there is no workspace at {root}"
    there = f"One of these {where}: {', '.join(names)}." if names else f"There is none {where}."
    raise UsageError(f"'{task}' needs the name of a {what}. {there}")


def _asked(what: str, names: Sequence[str]) -> str:
    from dagster_module_builder.commands.asking.prompts import Choice, GoneBack, Prompt, asker

    reply = asker()(Prompt(f"Which {what}?", choices=tuple(Choice(name, name) for name in names)))
    if isinstance(reply, GoneBack):
        raise RefusedError("Nothing was changed.")
    return str(reply)
