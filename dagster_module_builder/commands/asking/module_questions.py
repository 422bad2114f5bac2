"""What ``new`` asks: the name, database, requirements, governance, and how to go on; the rest on request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from dagster_module_builder.base.errors import RefusedError, UsageError
from dagster_module_builder.base.names import did_you_mean
from dagster_module_builder.base.requirements import (
    FILE,
    PREFIX,
    QUESTION,
    Requirement,
    names_in,
    offered,
    packages,
    problem_with_names,
    read_table,
    size_warning,
)
from dagster_module_builder.commands.asking.interview import (
    FINISH,
    FINISH_AFTER,
    Replies,
    Step,
    answer_to,
    end_if_cancelled,
    finish,
    interview,
    prompt_of,
    wants_more,
)
from dagster_module_builder.commands.asking.prompts import YES_OR_NO, Ask, Choice, Prompt
from dagster_module_builder.templating.questionnaire import Answer, Question, Questionnaire
from dagster_module_builder.templating.template_folders import MODULE_TEMPLATE, template_folder

#: The step about large requirements, and the question that the requirements follow.
_SIZE, _BEFORE_REQUIREMENTS = "_size", "database"


def table() -> list[Requirement]:
    """Return the template's system requirements."""
    return read_table(template_folder(MODULE_TEMPLATE) / FILE)


def required(typed: str | None) -> dict[str, Answer]:
    """Return the answers that ``--requires`` gives, to the questions about all requirements; none without it.

    Raises:
        UsageError: There is no such requirement.
    """
    if typed is None:
        return {}
    names = names_in(typed)
    if problem := problem_with_names(names, rows := table(), did_you_mean):
        raise UsageError(problem)
    return {row.variable: row.name in names for row in rows}


def refuse_large(answers: Mapping[str, Answer]) -> None:
    """Refuse requirements of more than a hundred megabytes where there is no terminal to ask.

    Raises:
        RefusedError: With the sizes and the alternatives.
    """
    if warning := size_warning(row for row in table() if answers.get(row.variable)):
        raise RefusedError(f"{warning}\nNothing was created. Pass --accept-size to create it all the same.")


def ask_about_module(
    questionnaire: Questionnaire, given: Mapping[str, Answer], *, accept_size: bool, ask: Ask
) -> dict[str, Answer]:
    """Return all answers about a new module; what is given is not asked.

    Args:
        questionnaire: The template's questions.
        given: The answers that flags or a file gave.
        accept_size: Whether large requirements are accepted already.
        ask: Asks one question.

    Raises:
        Exit: The person cancelled.
    """
    rows = table()
    known: dict[str, str | bool | tuple[str, ...]] = {
        name: answer for name, answer in given.items() if not name.startswith(PREFIX)
    }
    if any(name.startswith(PREFIX) for name in given):
        known[QUESTION] = tuple(row.name for row in rows if given.get(row.variable))
    if accept_size:
        known[_SIZE] = "yes"
    replies = interview(partial(_steps, questionnaire, rows, QUESTION in known), known, ask)
    end_if_cancelled(replies, _SIZE)
    return _answers(questionnaire, rows, replies)


def _steps(questionnaire: Questionnaire, rows: Iterable[Requirement], is_given: bool, replies: Replies) -> list[Step]:
    if replies.get(_SIZE) == "no":
        return []
    answers = _answers(questionnaire, rows, replies)
    asked, rest = _questions(questionnaire, answers)
    steps = []
    for question in asked:
        steps.append(_step(questionnaire, question, answers))
        if question.name == _BEFORE_REQUIREMENTS:
            steps += _about_requirements(rows, replies, is_given=is_given)
    summary = partial(_summary, questionnaire, rows)
    if not any(question.name not in replies for question in asked):
        steps.append(finish(FINISH, summary(answers), has_more=bool(rest)))
    if wants_more(replies):
        steps += [_step(questionnaire, question, answers) for question in rest]
        steps.append(finish(FINISH_AFTER, summary(answers), has_more=False))
    return steps


def _questions(questionnaire: Questionnaire, answers: Mapping[str, Answer]) -> tuple[list[Question], list[Question]]:
    """Return the questions that are always asked, and the other ones that matter."""
    alone = [
        question
        for question in questionnaire
        if not question.name.startswith(PREFIX) and questionnaire.matters(question, answers)
    ]
    return [one for one in alone if one.is_asked], [one for one in alone if not one.is_asked]


def _step(questionnaire: Questionnaire, question: Question, answers: Mapping[str, Answer]) -> Step:
    def prompt() -> Prompt:
        return prompt_of(questionnaire, question, answers, questionnaire.default(question, answers))

    return Step(question.name, prompt)


def _about_requirements(rows: Iterable[Requirement], replies: Replies, *, is_given: bool) -> list[Step]:
    """Return the question about all requirements, and the one whether a large image is wanted.

    With a no a person chooses again, unless a flag chose.
    """
    steps = [Step(QUESTION, partial(_requirements, rows))]
    names = replies.get(QUESTION)
    warning = size_warning(row for row in rows if isinstance(names, tuple) and row.name in names)
    if warning:
        steps.append(Step(_SIZE, lambda: Prompt("Go on?", "no", YES_OR_NO, intro=warning), None if is_given else "no"))
    return steps


def _requirements(rows: Iterable[Requirement]) -> Prompt:
    choices = tuple(
        Choice(row.name, f"{row.question} (+{sum(packages(row).values())} MB)", row.group) for row in offered(rows)
    )
    return Prompt("System requirements", (), choices, is_many=True)


def _answers(questionnaire: Questionnaire, rows: Iterable[Requirement], replies: Replies) -> dict[str, Answer]:
    """Return the replies as the template has them: a yes or no for each requirement."""
    names = replies.get(QUESTION)
    chosen = {row.variable: row.name in names for row in rows} if isinstance(names, tuple) else {}
    plain = {name: reply for name, reply in replies.items() if not name.startswith("_") and name != QUESTION}
    return {**{name: answer_to(questionnaire[name], reply) for name, reply in plain.items()}, **chosen}


def _summary(
    questionnaire: Questionnaire, rows: Iterable[Requirement], answers: Mapping[str, Answer]
) -> list[tuple[str, str]]:
    """Return each answer that matters, also those by default."""
    whole = questionnaire.complete(answers)
    asked, rest = _questions(questionnaire, whole)
    names = {question.name for question in (*asked, *rest)}
    lines = [(name.replace("_", " "), str(whole[name])) for name in whole if name in names]
    chosen = ", ".join(row.name for row in rows if whole.get(row.variable)) or "none"
    return [*lines, ("requirements", chosen)]
