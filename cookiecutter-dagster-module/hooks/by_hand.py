"""What Cookiecutter asks when a person runs it by hand: a few questions, each judged where it is answered.

Cookiecutter asks for every variable that ``key=value`` can give, so that a template with many of them asks many
questions. ``ask_few`` replaces the functions of ``cookiecutter.prompt`` that ask; they get the template's
``__prompts__``, whose ``__asked__`` names the questions to ask, and work as before for a template without it.

Standard library only.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import ModuleType

#: In ``__prompts__``: the names of the questions that are asked.
ASKED = "__asked__"


def ask_few(prompt: ModuleType, judges: Mapping[str, Callable[[str], str | None]]) -> None:
    """Have Cookiecutter ask a template's few questions, and take the defaults of the others.

    Args:
        prompt: ``cookiecutter.prompt``.
        judges: By question, what says why an answer is refused; it returns None if it is not.
    """
    if getattr(prompt.read_user_variable, "__module__", "") == __name__:
        return
    few = _Few(prompt.read_user_variable, prompt.read_user_choice, prompt.read_user_yes_no, judges)
    prompt.read_user_variable = few.variable  # type: ignore[attr-defined]
    prompt.read_user_choice = few.choice  # type: ignore[attr-defined]
    prompt.read_user_yes_no = few.yes_or_no  # type: ignore[attr-defined]


@dataclass(frozen=True)
class _Few:
    """Cookiecutter's own functions that ask, and what judges their answers; each of the same form as Cookiecutter's."""

    read_variable: Callable[..., Any]
    read_choice: Callable[..., Any]
    read_yes_or_no: Callable[..., Any]
    judges: Mapping[str, Callable[[str], str | None]]

    def variable(self, name: str, default: Any, prompts: Mapping[str, Any] | None = None, prefix: str = "") -> Any:
        """Ask for a text until it is not refused."""
        if _is_foreign(prompts):
            return self.read_variable(name, default, prompts, prefix)
        while _is_asked(name, prompts):
            answer = self.read_variable(name, default, prompts, f"  [dim]{_number(name, prompts)}[/] ")
            problem = self.judges[name](answer) if name in self.judges else None
            if problem is None:
                return answer
            print(problem, file=sys.stderr)
        return default

    def choice(
        self, name: str, options: Sequence[str], prompts: Mapping[str, Any] | None = None, prefix: str = ""
    ) -> Any:
        """Ask for one of several answers, by its number or its word."""
        if _is_foreign(prompts):
            return self.read_choice(name, options, prompts, prefix)
        if not _is_asked(name, prompts):
            return options[0]
        words = (prompts or {}).get(name, {})
        print(f"  {_number(name, prompts)} {words.get('__prompt__', name)}")
        for number, option in enumerate(options, 1):
            print(f"    {number} - {words.get(option, option)}")
        return self._chosen(options)

    def yes_or_no(self, name: str, default: Any, prompts: Mapping[str, Any] | None = None, prefix: str = "") -> Any:
        """Ask for yes or no."""
        is_asked = _is_foreign(prompts) or _is_asked(name, prompts)
        return self.read_yes_or_no(name, default, prompts, prefix) if is_asked else default

    def _chosen(self, options: Sequence[str]) -> str:
        numbered = {str(number): option for number, option in enumerate(options, 1)}
        while True:
            typed = str(self.read_variable("answer", options[0], {"answer": "    Number or word"}))
            if typed in options or typed in numbered:
                return numbered.get(typed, typed)
            print(f"{typed!r} is not one of {', '.join(options)}.", file=sys.stderr)


def _is_foreign(prompts: Mapping[str, Any] | None) -> bool:
    """Return whether another template asks."""
    return ASKED not in (prompts or {})


def _is_asked(name: str, prompts: Mapping[str, Any] | None) -> bool:
    return name in (prompts or {})[ASKED]


def _number(name: str, prompts: Mapping[str, Any] | None) -> str:
    """Return where a question is among those that are asked: ``[2/6]``."""
    asked = (prompts or {})[ASKED]
    return f"[{asked.index(name) + 1}/{len(asked)}]"
