"""One question as a terminal asks it, and the choice of how: menus, or lines where the terminal cannot draw."""

from __future__ import annotations

import locale
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from dagster_module_builder.base.names import did_you_mean
from dagster_module_builder.disclosure import terminal

#: What a prompt returns: a text, a yes or no, or the names that were chosen.
Reply = str | bool | tuple[str, ...]
#: Asks for lines instead of menus: for a screen reader, or a terminal that says more of itself than it can do.
PLAIN_VARIABLE: Final = "DAGSTER_MODULE_BUILDER_PLAIN"


class GoneBack:
    """The reply of a person who wants the question before this one again."""


BACK: Final = GoneBack()


@dataclass(frozen=True)
class Choice:
    """One of several answers.

    Attributes:
        value: The answer.
        label: What is shown.
        group: What it is listed under.
    """

    value: str
    label: str
    group: str = ""


@dataclass(frozen=True)
class Prompt:
    """A question.

    Attributes:
        text: The question.
        default: The answer to Return; an empty text if there is none.
        choices: The answers to choose from; none for a text.
        is_many: Whether several may be chosen, or none.
        intro: Lines to show before it.
        problem_with: Says in words why an answer is refused; None if it is not.
    """

    text: str
    default: Reply = ""
    choices: tuple[Choice, ...] = ()
    is_many: bool = False
    intro: str = ""
    problem_with: Callable[[Reply], str | None] = lambda _reply: None

    def as_typed(self, answer: Reply) -> str:
        """Return an answer as a person would type it: ``("ssh", "pdf")`` -> ``"ssh, pdf"``."""
        if isinstance(answer, tuple):
            return ", ".join(answer) or "none"
        return {True: "yes", False: "no"}.get(answer) or str(answer) if isinstance(answer, bool) else answer

    def read(self, typed: str) -> Reply:
        """Return the answer that a typed line gives: a number, a word, nothing for the default, - for nothing.

        Raises:
            ValueError: It gives none; the message says why.
        """
        words = typed.strip()
        if words == "-" and not self.choices:
            return ""
        if not words and self.default != "":
            return self.default
        if self.is_many:
            names = [part.strip() for part in words.split(",") if part.strip() not in {"", "none"}]
            return tuple(dict.fromkeys(self._choice(name) for name in names))
        return self._choice(words) if self.choices else words

    def _choice(self, word: str) -> str:
        if word.isascii() and word.isdigit() and 0 < int(word) <= len(self.choices):
            return self.choices[int(word) - 1].value
        values = [choice.value for choice in self.choices]
        near = [value for value in values if value.startswith(word.lower())] if word else []
        if word.lower() in values or len(near) == 1:
            return word.lower() if word.lower() in values else near[0]
        named = [choice.value for choice in self.choices if word and word.lower() in choice.label.lower()]
        if len(named) == 1:
            return named[0]
        raise ValueError(f"{word!r} is not one of {', '.join(values)}.{did_you_mean(word, values)}")


YES_OR_NO: Final = (Choice("yes", "yes"), Choice("no", "no"))

Ask = Callable[[Prompt], Reply | GoneBack]


def asker(environment: Mapping[str, str] = os.environ) -> Ask:
    """Return what asks questions on this terminal: menus, or lines where it cannot draw them."""
    if not can_draw(environment):
        from dagster_module_builder.commands.asking.line_prompts import ask as ask_in_lines

        return ask_in_lines
    from dagster_module_builder.commands.asking.menus import ask as ask_by_menu

    return ask_by_menu


def can_draw(environment: Mapping[str, str]) -> bool:
    """Return whether menus can be drawn: on a terminal that moves its cursor, in UTF-8, unless told not to."""
    if environment.get(PLAIN_VARIABLE) or environment.get("TERM", "dumb") in {"", "dumb", "unknown"}:
        return False
    named = next((environment[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(name)), "")
    is_utf8 = "utf" in (sys.stderr.encoding or "").lower() and "utf" in locale.getpreferredencoding(False).lower()
    return is_utf8 and named not in {"C", "POSIX"}


def shown(prompt: Prompt) -> str:
    """Return a prompt's text without what could control the terminal."""
    return terminal.shown(prompt.text)
