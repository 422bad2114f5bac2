"""Questions line by line, for a screen reader, a terminal without a cursor, and one without UTF-8."""

from __future__ import annotations

import itertools
import sys

from dagster_module_builder.commands.asking.prompts import BACK, Choice, GoneBack, Prompt, Reply
from dagster_module_builder.disclosure import terminal

#: What goes back: the sign that is shown, and the Escape key before Return.
_BACK = {"<", "\x1b"}


def ask(prompt: Prompt) -> Reply | GoneBack:
    """Ask until an answer is taken; '<' goes back.

    Raises:
        KeyboardInterrupt: The input has ended.
    """
    if prompt.intro:
        terminal.alert(prompt.intro)
    while True:
        for line in _lines(prompt):
            terminal.alert(line)
        terminal.alert(_cue(prompt), end="")
        typed = sys.stdin.readline()
        if not typed:
            raise KeyboardInterrupt
        if typed.strip() in _BACK or typed.startswith("\x1b"):
            return BACK
        problem = _judged(prompt, typed)
        if not isinstance(problem, str):
            return problem[0]
        terminal.alert(problem)


def _judged(prompt: Prompt, typed: str) -> tuple[Reply] | str:
    """Return the answer, or why it is none."""
    try:
        reply = prompt.read(typed)
    except ValueError as error:
        return str(error)
    return prompt.problem_with(reply) or (reply,)


def _lines(prompt: Prompt) -> list[str]:
    """Return the question and its numbered choices, each group with a heading."""
    lines = [prompt.text] if prompt.choices else []
    numbered = enumerate(prompt.choices, 1)
    for group, choices in itertools.groupby(numbered, lambda item: item[1].group):
        lines += [f"  {group}:"] * bool(group)
        lines += [f"  {number}. {_label(choice)}" for number, choice in choices]
    return lines


def _label(choice: Choice) -> str:
    has_name = choice.label.lower().startswith(choice.value.lower())
    return choice.label if has_name else f"{choice.value}: {choice.label}"


def _cue(prompt: Prompt) -> str:
    default = prompt.as_typed(prompt.default)
    hint = f" [{default}]" if default else ""
    if not prompt.choices:
        return f"{prompt.text} (< goes back){hint}: "
    what = "Numbers or words, with commas" if prompt.is_many else "Number or word"
    return f"{what} (< goes back){hint}: "
