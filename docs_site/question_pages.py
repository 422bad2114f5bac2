"""The questions of ``configure-deployment``, from the strategies' templates."""

from __future__ import annotations

from collections.abc import Iterator

from dagster_module_builder.deploy.questions import strategies
from dagster_module_builder.templating.questionnaire import Question, questions_of
from deploy_strategies import strategy_folder
from docs_site.markdown_text import code, plain, table

PAGE = "reference/deployment-questions.md"
_INTRODUCTION = """# The questions of configure-deployment

This page is made from the strategies' templates. `--set NAME=VALUE` answers a question, and so does a file given with
`--answers`; where a name is also a flag of `configure-deployment`, the flag does too. "Asked" are those that
`configure-deployment` asks at once; "More settings" has the rest. The answers become
[files of a deployment](deployment-files.md).
"""


def page() -> str:
    """Return the page."""
    return "\n".join([_INTRODUCTION, *(part for name in strategies() for part in _section(name))])


def _section(strategy: str) -> Iterator[str]:
    asked = questions_of(strategy_folder(strategy))
    yield f"## {strategy}\n\nChoose it for: {plain(asked.choose_it)}.\n"
    yield table(("question", "what is asked", "answers, the default first", "asked"), map(_row, asked))


def _row(question: Question) -> tuple[str, str, str, str]:
    only = " and ".join(
        f"{code(name)} is {' or '.join(map(code, sorted(values)))}" for name, values in question.only.items()
    )
    prompt = plain(question.prompt) + (f" (if {only})" if only else "")
    return code(question.name), prompt, _answers(question), "yes" if question.is_asked else ""


def _answers(question: Question) -> str:
    if isinstance(question.default, bool):
        return "yes, no" if question.default else "no, yes"
    if question.choices:
        others = (choice for choice in question.choices if choice != question.default)
        return ", ".join(map(code, (question.default, *others)))
    return f"needed, such as {code(question.default)}" if question.is_needed else code(question.default) or "empty"
