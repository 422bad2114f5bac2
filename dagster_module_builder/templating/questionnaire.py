"""A template's questions: read, asked on the terminal as Cookiecutter asks, answered by defaults."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dagster_module_builder.base.errors import RefusedError, UsageError
from dagster_module_builder.disclosure import terminal
from dagster_module_builder.templating.template_folders import prepared, template_folder

Answer = str | bool


@dataclass(frozen=True)
class Question:
    """One question of a template; ``default`` may be a Jinja expression over earlier answers."""

    name: str
    prompt: str
    default: Answer
    choices: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Questionnaire:
    """A template's questions in their order, as its hook before the prompts left them.

    Attributes:
        folder: The template.
        context: What its ``cookiecutter.json`` holds.
        questions: The questions.
        judge: Raises ``RefusedError`` for an answer that the template takes, but this workspace cannot.
    """

    folder: Path
    context: Mapping[str, Any]
    questions: tuple[Question, ...]
    judge: Callable[[Question, Answer], None] | None = None

    def __iter__(self) -> Iterator[Question]:
        """Go through the questions in the order in which they are asked."""
        return iter(self.questions)

    def refuse_unoffered(self, answers: Mapping[str, Answer]) -> None:
        """Refuse answers that are not among their question's choices.

        Raises:
            UsageError: With the question and its choices.
        """
        for question in self.questions:
            if question.choices and question.name in answers:
                refuse_unless_offered(question.name, answers[question.name], question.choices)

    def default(self, question: Question, answers: Mapping[str, Answer]) -> Answer:
        """Return the answer to ``question`` when it is not asked, given the answers so far.

        Raises:
            RefusedError: The template refuses an earlier answer.
        """
        if isinstance(question.default, bool):
            return question.default
        from cookiecutter.exceptions import CookiecutterException

        try:
            # The template's own filters say on stderr what is wrong with an earlier answer.
            with contextlib.redirect_stderr(io.StringIO()) as stderr:
                return self._rendered_default(question, answers)
        except CookiecutterException as error:
            raise RefusedError(stderr.getvalue().strip() or str(error)) from None

    @cached_property
    def _environment(self) -> Any:
        from cookiecutter.utils import create_env_with_context

        with _importable(self.folder):
            return create_env_with_context({"cookiecutter": dict(self.context)})

    def _rendered_default(self, question: Question, answers: Mapping[str, Answer]) -> str:
        from cookiecutter.prompt import render_variable  # a tenth of a second

        known: dict[str, Any] = {}
        for name, raw in self.context.items():
            if name == question.name:
                break
            first = raw[0] if isinstance(raw, list) and not name.startswith("_") else raw
            known[name] = (
                answers[name] if name in answers else _rendered(name, first, render_variable, self._environment, known)
            )
        return str(render_variable(self._environment, question.default, known))

    def ask(self, question: Question, answers: Mapping[str, Answer]) -> Answer:
        """Ask on the terminal, as Cookiecutter asks, until the template takes the answer."""
        while True:
            answer = self._read(question, answers)
            try:
                self._try(question, {**answers, question.name: answer})
                if self.judge:
                    self.judge(question, answer)
            except RefusedError as error:
                terminal.tell(str(error))
            else:
                return answer

    def _try(self, question: Question, answers: Mapping[str, Answer]) -> None:
        """Let the template judge an answer, which it does when it works out the next question's default."""
        for following in self.questions[self.questions.index(question) + 1 :][:1]:
            self.default(following, answers)

    def _read(self, question: Question, answers: Mapping[str, Answer]) -> Answer:
        from cookiecutter import prompt

        number = self.questions.index(question) + 1
        prefix = f"  [dim][{number}/{len(self.questions)}][/] "
        default = self.default(question, answers)
        if question.choices:
            first = [default, *(choice for choice in question.choices if choice != default)]
            labels = {name: terminal.shown(label) for name, label in question.labels.items()}
            texts = {question.name: {"__prompt__": terminal.shown(question.prompt), **labels}}
            return str(prompt.read_user_choice(question.name, first, texts, prefix))
        plain = {question.name: terminal.shown(question.prompt)}
        if isinstance(default, bool):
            return bool(prompt.read_user_yes_no(question.name, default, plain, prefix))
        # A default may come from a module's files.
        safe = terminal.shown(default)
        answer = str(prompt.read_user_variable(question.name, safe, plain, prefix))
        return default if answer == safe else answer


def _rendered(name: str, raw: Any, render_variable: Callable[..., Any], environment: Any, known: dict[str, Any]) -> Any:
    """Give a variable its value as Cookiecutter does: those with one leading underscore are taken as they stand."""
    if name.startswith("_") and not name.startswith("__"):
        return raw
    return render_variable(environment, raw, known)


def questions_of(template: str | os.PathLike[str], environment: Mapping[str, str] | None = None) -> Questionnaire:
    """Return a template's questions, after its hook before the prompts (if any) has set their defaults.

    Args:
        template: As for ``template_folder``.
        environment: Variables for the hook, beside the process's own.
    """
    with prepared(template, environment) as made:
        context = json.loads((made / "cookiecutter.json").read_text("utf-8"))
    prompts = context.pop("__prompts__", {})
    asked = [_question(name, raw, prompts.get(name, name)) for name, raw in context.items() if not name.startswith("_")]
    return Questionnaire(template_folder(template), context, tuple(asked))


def _question(name: str, raw: Any, prompt: str | dict[str, str]) -> Question:
    labels = {key: text for key, text in prompt.items() if key != "__prompt__"} if isinstance(prompt, dict) else {}
    text = prompt.get("__prompt__", name) if isinstance(prompt, dict) else prompt
    if isinstance(raw, list):
        return Question(name, text, raw[0], tuple(raw), labels)
    return Question(name, text, raw if isinstance(raw, bool) else str(raw))


def refuse_unless_offered(name: str, answer: Answer, choices: Sequence[str]) -> None:
    """Refuse an answer that is not one of the choices.

    Raises:
        UsageError: The message lists the choices.
    """
    if answer not in choices:
        raise UsageError(f"{name}: {answer!r} is not one of {', '.join(choices)}.")


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let a template's own Jinja extensions be imported, but not stay: another template's may be called the same."""
    known = set(sys.modules)
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - known:
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]
