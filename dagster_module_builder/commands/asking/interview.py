"""Question by question, with a way back: which question is next depends on the answers so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from invoke.exceptions import Exit

from dagster_module_builder.commands.asking.prompts import YES_OR_NO, Ask, Choice, GoneBack, Prompt, Reply
from dagster_module_builder.templating.questionnaire import Answer, Question, Questionnaire

Replies = Mapping[str, Reply]

#: The names of the last step, and of the one after more settings.
FINISH, FINISH_AFTER = "_finish", "_finish_after"
_CREATE, _MORE, _CANCEL = "create", "more", "cancel"


@dataclass(frozen=True)
class Step:
    """One question of an interview.

    Attributes:
        name: What its answer is kept under.
        prompt: Makes the question, once it is this step's turn.
        back_if: The answer that goes back, as Escape does.
    """

    name: str
    prompt: Callable[[], Prompt]
    back_if: Reply | None = None


def interview(steps: Callable[[Replies], Sequence[Step]], given: Replies, ask: Ask) -> dict[str, Reply]:
    """Return all answers; what is given is not asked.

    Args:
        steps: Returns the steps in their order, as the answers so far have it.
        given: The answers that are known.
        ask: Asks one question.
    """
    answers, earlier, asked = dict(given), dict[str, Reply](), list[str]()
    while step := next((step for step in steps(answers) if step.name not in answers), None):
        reply = ask(_with_earlier(step, earlier))
        if isinstance(reply, GoneBack) or reply == step.back_if:
            if asked:
                answers.pop(asked.pop())
            continue
        answers[step.name] = earlier[step.name] = reply
        asked.append(step.name)
    return answers


def _with_earlier(step: Step, earlier: Replies) -> Prompt:
    """Offer the earlier answer to a person who went back."""
    prompt = step.prompt()
    is_known = step.name in earlier and step.name not in {FINISH, FINISH_AFTER}
    return replace(prompt, default=earlier[step.name]) if is_known else prompt


def prompt_of(
    questionnaire: Questionnaire, question: Question, answers: Mapping[str, Answer], default: Answer
) -> Prompt:
    """Return how a template's question is asked: with its default, and judged by the template."""

    def problem_with(reply: Reply) -> str | None:
        if question.is_needed and reply == "":
            return f"{question.prompt}: this needs an answer."
        return questionnaire.problem_with(question, {**answers, question.name: answer_to(question, reply)})

    if isinstance(question.default, bool):
        return Prompt(question.prompt, "yes" if default else "no", YES_OR_NO, problem_with=problem_with)
    choices = tuple(Choice(name, question.labels.get(name, name)) for name in question.choices)
    return Prompt(question.prompt, "" if question.is_needed else default, choices, problem_with=problem_with)


def answer_to(question: Question, reply: Reply) -> Answer:
    """Return a reply as the template has it: ``"yes"`` -> ``True`` for a question of yes or no."""
    if isinstance(question.default, bool):
        return str(reply).lower() in {"y", "yes", "true", "1"}
    return str(reply)


def finish(name: str, summary: Sequence[tuple[str, str]], *, has_more: bool) -> Step:
    """Return the last step: what was answered, and whether to go on."""
    width = max(len(label) for label, _ in summary)
    intro = "\n".join(f"  {label:<{width}}  {value}" for label, value in summary)
    more = (Choice(_MORE, "More settings"),) if has_more else ()
    choices = (Choice(_CREATE, "Create it"), *more, Choice(_CANCEL, "Cancel"))
    return Step(name, lambda: Prompt("Create it?", _CREATE, choices, intro=f"\n{intro}\n"))


def wants_more(answers: Replies) -> bool:
    """Return whether the rest of the questions is asked, too."""
    return answers.get(FINISH) == _MORE


def end_if_cancelled(answers: Replies, *conditions: str) -> None:
    """End if a person does not want to go on.

    Args:
        answers: The answers.
        conditions: Steps whose no ends it, too.

    Raises:
        Exit: With status 1.
    """
    refused = any(answers.get(name) == "no" for name in conditions)
    if refused or _CANCEL in {answers.get(FINISH), answers.get(FINISH_AFTER)}:
        raise Exit("Nothing was created.", 1)
