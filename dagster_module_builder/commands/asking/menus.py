"""Questions as menus: arrow keys, a filter by typing, Escape goes back. Loaded when the first question is asked."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import questionary
from prompt_toolkit.application import Application
from prompt_toolkit.filters import Always
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent, merge_key_bindings
from prompt_toolkit.output import create_output

from dagster_module_builder.commands.asking.prompts import BACK, Choice, GoneBack, Prompt, Reply
from dagster_module_builder.disclosure import terminal

#: Seconds in which an Escape may still become the beginning of an arrow key.
_ESCAPE = 0.1
#: What a menu draws before a choice: the pointer, and the mark of a chosen one.
_MARGIN = 6
_POINTER = ">"


def ask(prompt: Prompt) -> Reply | GoneBack:
    """Ask until an answer is taken; Escape goes back.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed, or the input has ended.
    """
    if prompt.intro:
        terminal.alert(prompt.intro)
    while True:
        reply = _run(_question(prompt))
        if isinstance(reply, GoneBack):
            return reply
        answer = tuple(reply) if prompt.is_many else prompt.read(reply) if not prompt.choices else reply
        # A text is judged while it stands in its line; only a menu's answer still has to be.
        problem = prompt.problem_with(answer) if prompt.choices else None
        if problem is None:
            terminal.alert(f"{prompt.text.rstrip('?:')}: {prompt.as_typed(answer)}")
            return answer
        terminal.alert(problem)


def _question(prompt: Prompt) -> questionary.Question:
    text = terminal.shown(prompt.text)
    output = create_output(stdout=sys.stderr)
    if prompt.is_many:
        chosen = prompt.default if isinstance(prompt.default, tuple) else ()
        return questionary.checkbox(
            text,
            [_item(choice, is_chosen=choice.value in chosen) for choice in prompt.choices],
            instruction=_hint(text, "(Space picks, Return goes on, type to filter, Esc goes back)", "(Space picks)"),
            pointer=_POINTER,
            use_jk_keys=False,
            use_search_filter=True,
            output=output,
        )
    if prompt.choices:
        return questionary.select(
            text,
            [_item(choice) for choice in prompt.choices],
            default=prompt.default if prompt.default != "" else None,  # type: ignore[arg-type]
            instruction=_hint(text, "(arrow keys, type to filter, Esc goes back)", "(Esc goes back)"),
            pointer=_POINTER,
            use_jk_keys=False,
            use_search_filter=True,
            output=output,
        )
    default = terminal.shown(prompt.as_typed(prompt.default))
    return questionary.text(
        text,
        instruction=f"[{default}]" if default else None,
        validate=lambda typed: _verdict(prompt, typed),
        output=output,
    )


def _hint(text: str, *hints: str) -> str:
    """Return the first hint that fits behind a question."""
    width = shutil.get_terminal_size().columns - len(text) - _MARGIN
    return next((hint for hint in hints if len(hint) <= width), " ")


def _verdict(prompt: Prompt, typed: str) -> bool | str:
    problem = prompt.problem_with(prompt.read(typed))
    return True if problem is None else terminal.shown(problem)


def _item(choice: Choice, *, is_chosen: bool = False) -> questionary.Choice:
    """Return a line of a menu; its group stands in it where there is room, so that typing the group finds it."""
    room = shutil.get_terminal_size().columns - _MARGIN
    label, grouped = (terminal.shown(words) for words in (choice.label, f"{choice.group}: {choice.label}"))
    title = grouped if choice.group and len(grouped) <= room else label
    fitted = title if len(title) <= room else f"{title[: max(room - 1, 1)]}…"
    return questionary.Choice(fitted, value=choice.value, checked=is_chosen)


def _run(question: questionary.Question) -> Any:
    application: Application[Any] = question.application
    # A line with the answer stays instead of the menu.
    application.erase_when_done = True
    for window in application.layout.find_all_windows():
        # Else the filter, and what is wrong with an answer, stand at the bottom of the terminal.
        window.dont_extend_height = Always()
        if window.height == 1:
            # What is wrong may take more than one line.
            window.height, window.wrap_lines = None, Always()
    application.key_bindings = merge_key_bindings([application.key_bindings or KeyBindings(), _going_back()])
    application.ttimeoutlen = application.timeoutlen = _ESCAPE
    try:
        # Signals end this program in its own way.
        return application.run(handle_sigint=False)
    except EOFError:
        raise KeyboardInterrupt from None


def _going_back() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("escape")
    def go_back(event: KeyPressEvent) -> None:
        event.app.exit(result=BACK)

    return bindings
