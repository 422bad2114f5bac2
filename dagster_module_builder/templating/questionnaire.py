"""A template's questions: read, judged, answered by defaults. ``commands.asking.interview`` asks them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dagster_module_builder.base.errors import BuilderError, RefusedError, UsageError
from dagster_module_builder.base.names import did_you_mean
from dagster_module_builder.templating.template_folders import prepared, template_folder

Answer = str | bool

#: Which questions are asked; the others get their default unless a person wants more settings. Without it: all.
_ASKED = "__asked__"
#: Questions whose default is an example that may not be confirmed.
_NEEDED = "__needed__"
#: Questions that only some answers need: ``{"network": {"dagster_kind": ["compose"]}}``.
_ONLY = "__only__"
#: When to choose this template.
_CHOOSE = "__choose__"


@dataclass(frozen=True)
class Question:
    """One question of a template.

    Attributes:
        name: Its name in Cookiecutter.
        prompt: Its text.
        default: The default answer; it may be a Jinja expression over earlier answers.
        choices: The only answers, if there are such.
        labels: A text for each choice.
        is_asked: Whether it is asked without a request for more settings.
        is_needed: Whether its default is an example only, so that it needs an answer.
        only: It matters if each of these questions has one of these answers.
    """

    name: str
    prompt: str
    default: Answer
    choices: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    is_asked: bool = True
    is_needed: bool = False
    only: Mapping[str, Collection[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Questionnaire:
    """A template's questions in their order, as its hook before the prompts left them.

    Attributes:
        folder: The template.
        context: What its ``cookiecutter.json`` holds.
        questions: The questions.
        judge: Raises ``BuilderError`` for an answer that the template takes, but this workspace cannot; it is given
            the question and all answers so far.
        choose_it: When to choose this template, in a few words.
    """

    folder: Path
    context: Mapping[str, Any]
    questions: tuple[Question, ...]
    judge: Callable[[Question, Mapping[str, Answer]], None] | None = None
    choose_it: str = ""

    def __iter__(self) -> Iterator[Question]:
        """Go through the questions in the template's order."""
        return iter(self.questions)

    def __getitem__(self, name: str) -> Question:
        """Return the question of a name."""
        return next(question for question in self.questions if question.name == name)

    def refuse_unknown(self, names: Collection[str]) -> None:
        """Refuse answers to questions that do not exist.

        Raises:
            UsageError: With the nearest question, or all of them.
        """
        known = [question.name for question in self.questions]
        for name in sorted(set(names) - set(known)):
            meant = did_you_mean(name, known) or f" Choose one of {', '.join(sorted(known))}."
            raise UsageError(f"Unknown question {name!r} of {self.folder.name}.{meant}")

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

    def complete(self, answers: Mapping[str, Answer]) -> dict[str, Answer]:
        """Return the answers to all questions, by default where ``answers`` has none.

        Raises:
            RefusedError: The template refuses an answer.
        """
        whole: dict[str, Answer] = {}
        for question in self.questions:
            has = question.name in answers
            whole[question.name] = answers[question.name] if has else self.default(question, {**answers, **whole})
        return whole

    def matters(self, question: Question, answers: Mapping[str, Answer]) -> bool:
        """Return whether a question has a meaning beside these answers."""
        conditions = ((self[name], allowed) for name, allowed in question.only.items())
        return all(answers.get(other.name, other.default) in allowed for other, allowed in conditions)

    def problem_with(self, question: Question, answers: Mapping[str, Answer]) -> str | None:
        """Return why the answer to a question, which is among ``answers``, is refused; None if it is not."""
        try:
            self._try(question, answers)
            if self.judge:
                self.judge(question, answers)
        except BuilderError as error:
            return str(error)
        return None

    def drafted(self, file: str, answers: Mapping[str, Answer]) -> str:
        """Return what one file of the template would hold; nothing is written, and no hook runs."""
        from jinja2 import FileSystemLoader

        environment = self._environment
        made = next(self.folder.glob("{{*"))
        environment.loader = FileSystemLoader([made, self.folder / "templates"])
        return str(environment.get_template(file).render(cookiecutter=self._known(answers)))

    @cached_property
    def _environment(self) -> Any:
        from cookiecutter.utils import create_env_with_context

        with _importable(self.folder):
            return create_env_with_context({"cookiecutter": dict(self.context)})

    def _rendered_default(self, question: Question, answers: Mapping[str, Answer]) -> str:
        from cookiecutter.prompt import render_variable  # a tenth of a second

        return str(render_variable(self._environment, question.default, self._known(answers, question.name)))

    def _known(self, answers: Mapping[str, Answer], before: str | None = None) -> dict[str, Any]:
        """Return the template's variables, up to one of them, as Cookiecutter would have them with these answers."""
        from cookiecutter.prompt import render_variable

        known: dict[str, Any] = {}
        for name, raw in self.context.items():
            if name == before:
                break
            first = raw[0] if isinstance(raw, list) and not name.startswith("_") else raw
            known[name] = (
                answers[name] if name in answers else _rendered(name, first, render_variable, self._environment, known)
            )
        return known

    def _try(self, question: Question, answers: Mapping[str, Answer]) -> None:
        """Let the template judge an answer, which it does when it works out the next question's default."""
        for following in self.questions[self.questions.index(question) + 1 :][:1]:
            self.default(following, answers)


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
    asked = tuple(_question(name, raw, prompts) for name, raw in context.items() if not name.startswith("_"))
    return Questionnaire(template_folder(template), context, asked, choose_it=prompts.get(_CHOOSE, ""))


def _question(name: str, raw: Any, prompts: Mapping[str, Any]) -> Question:
    prompt = prompts.get(name, name)
    labels = {key: text for key, text in prompt.items() if key != "__prompt__"} if isinstance(prompt, dict) else {}
    return Question(
        name,
        prompt.get("__prompt__", name) if isinstance(prompt, dict) else prompt,
        raw[0] if isinstance(raw, list) else raw if isinstance(raw, bool) else str(raw),
        tuple(raw) if isinstance(raw, list) else (),
        labels,
        is_asked=name in prompts.get(_ASKED, [name]),
        is_needed=name in prompts.get(_NEEDED, []),
        only=prompts.get(_ONLY, {}).get(name, {}),
    )


def refuse_unless_offered(name: str, answer: Answer, choices: Sequence[str]) -> None:
    """Refuse an answer that is not one of the choices.

    Raises:
        UsageError: The message lists the choices.
    """
    if answer not in choices:
        hint = did_you_mean(str(answer), choices)
        raise UsageError(f"Unknown {name.replace('_', ' ')} {answer!r}.{hint} Choose one of: {', '.join(choices)}.")


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
