"""What ``configure-deployment`` asks: name, client, hosts, folder and strategy, then what that strategy needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from dagster_module_builder.base.errors import UsageError
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
from dagster_module_builder.commands.asking.prompts import Ask, Choice, Prompt, Reply
from dagster_module_builder.deploy import questions as strategy_questions
from dagster_module_builder.deploy.configure import judge
from dagster_module_builder.templating.questionnaire import Answer, Question, Questionnaire

STRATEGY = "strategy"
#: What every deployment has, asked before the strategy.
_COMMON = ("deployment", "client", "hosts", "base_path")
#: What the module says itself.
_KNOWN = {"module", "database"}


def ask_about_deployment(
    root: Path, module: Path, given: Mapping[str, Answer], ask: Ask
) -> tuple[str, dict[str, Answer]]:
    """Return the strategy and all answers about a new deployment; what is given is not asked.

    Args:
        root: The workspace's root.
        module: The module's folder.
        given: The answers that flags or a file gave, the strategy among them.
        ask: Asks one question.

    Raises:
        Exit: The person cancelled.
    """
    topics = _Topics(root, module, frozenset(given) - {STRATEGY})
    topics.of(given).refuse_wrong(given)
    replies = interview(topics.steps, given, ask)
    end_if_cancelled(replies)
    topic = topics.of(replies)
    return str(replies[STRATEGY]), topic.answers(replies)


class _Topics:
    """What there is to ask, for each strategy that was considered."""

    def __init__(self, root: Path, module: Path, given: frozenset[str]) -> None:
        self.root, self.module, self.given = root, module, given
        self._known: dict[tuple[str, str | None], _Topic] = {}

    def of(self, replies: Replies) -> _Topic:
        """Return what there is to ask with the strategy that was chosen, or with the first one."""
        strategy = str(replies.get(STRATEGY) or strategy_questions.strategies()[0])
        texts = {name: str(reply) for name, reply in replies.items()}
        carried = strategy_questions.carried_by(strategy, texts)
        if (strategy, carried) not in self._known:
            self._known[strategy, carried] = _Topic(self.root, self.module, strategy, carried)
        return self._known[strategy, carried]

    def steps(self, replies: Replies) -> list[Step]:
        """Return the steps in their order."""
        topic = self.of(replies)
        before = [topic.step(question, replies) for question in topic.common]
        choose = Step(STRATEGY, self._choice)
        if STRATEGY not in replies:
            return [*before, choose]
        asked, rest = topic.questions(replies)
        steps = [*before, choose, *(topic.step(question, replies) for question in asked)]
        if all(step.name in replies for step in steps):
            steps.append(finish(FINISH, topic.summary(replies), has_more=bool(rest)))
        if wants_more(replies):
            steps += [topic.step(question, replies) for question in rest]
        if wants_more(replies) and all(step.name in replies for step in steps):
            steps.append(finish(FINISH_AFTER, topic.summary(replies), has_more=False))
        return steps

    def _choice(self) -> Prompt:
        labels = strategy_questions.strategy_labels()
        choices = tuple(Choice(name, label) for name, label in labels.items())
        text, first = "Strategy: how a release travels", next(iter(labels))
        return Prompt(text, first, choices, problem_with=self._problem_with)

    def _problem_with(self, strategy: Reply) -> str | None:
        """Return which answer of a flag a strategy does not ask for."""
        try:
            self.of({STRATEGY: strategy}).questionnaire.refuse_unknown(self.given)
        except UsageError as error:
            return str(error)
        return None


@dataclass(frozen=True)
class _Topic:
    """The questions of one strategy, and what the module answers of them."""

    root: Path
    module: Path
    strategy: str
    carried: str | None

    @cached_property
    def questionnaire(self) -> Questionnaire:
        """The questions, each judged as the deployment's file is."""
        asked = strategy_questions.questionnaire(self.strategy, self.carried)
        return replace(asked, judge=judge(self.root, self.module, self.strategy, self.carried))

    @cached_property
    def detected(self) -> Mapping[str, Answer]:
        """The answers that the module and the workspace give."""
        return strategy_questions.detected(self.root, self.module, self.strategy, self.carried)

    @property
    def common(self) -> list[Question]:
        """The questions that every deployment has."""
        return [question for name in _COMMON for question in self.questionnaire if question.name == name]

    def refuse_wrong(self, given: Replies) -> None:
        """Refuse what flags gave before anything is asked.

        Raises:
            UsageError: With the reason.
        """
        answers = self.answers(given)
        for question in self.questionnaire:
            if question.name in given and (problem := self.questionnaire.problem_with(question, answers)):
                raise UsageError(problem)

    def questions(self, replies: Replies) -> tuple[list[Question], list[Question]]:
        """Return what this strategy needs to know beside what is common, and the other questions that matter."""
        answers = self.answers(replies)
        own = [
            question
            for question in self.questionnaire
            if question.name not in {*_COMMON, *_KNOWN} and self.questionnaire.matters(question, answers)
        ]
        asked = [question for question in own if question.is_asked and not self.detected.get(question.name)]
        return asked, [question for question in own if question not in asked]

    def answers(self, replies: Replies) -> dict[str, Answer]:
        """Return the answers, also those that the module gives."""
        names = {question.name for question in self.questionnaire}
        typed = {name: answer_to(self.questionnaire[name], replies[name]) for name in replies if name in names}
        return {**self.detected, **typed}

    def step(self, question: Question, replies: Replies) -> Step:
        """Return a question's step."""

        def prompt() -> Prompt:
            answers = self.answers(replies)
            default = answers.get(question.name) or self.questionnaire.default(question, answers)
            return prompt_of(self.questionnaire, question, answers, default)

        return Step(question.name, prompt)

    def summary(self, replies: Replies) -> list[tuple[str, str]]:
        """Return each answer that matters, also those by default."""
        asked, rest = self.questions(replies)
        names = [question.name for question in (*self.common, *asked, *rest)]
        whole = self.questionnaire.complete(self.answers(replies))
        lines = [(name.replace("_", " "), str(whole[name]) or "-") for name in names]
        return [*lines[: len(self.common)], (STRATEGY, self.strategy), *lines[len(self.common) :]]
