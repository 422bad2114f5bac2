"""``configure-deployment``: create a deployment of a module to a client's hosts."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from invoke.context import Context

from dagster_module_builder.base.errors import UsageError
from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import ROOT_HELP, command, root_of

if TYPE_CHECKING:
    from dagster_module_builder.templating.questionnaire import Answer, Question, Questionnaire


@command(
    "configure-deployment",
    help={
        "module": "The module's name, or the path of its folder.",
        "root": ROOT_HELP,
        "deployment": "The deployment's name.",
        "client": "The client's name.",
        "hosts": "Its hosts, comma-separated: host or host:port.",
        "user": "The user on the hosts (default: from the SSH configuration).",
        "base-path": "The folder on the hosts.",
        "strategy": "Deployment strategy: a folder in deploy_strategies/.",
        "set": "Answer a question of the strategy: NAME=VALUE; repeatable.",
        "no-input": "Use the defaults instead of asking.",
    },
    iterable=["set"],
    auto_shortflags=False,
)
def configure_deployment(
    _context: Context,
    module: str,
    root: str | None = None,
    deployment: str | None = None,
    client: str | None = None,
    hosts: str | None = None,
    user: str | None = None,
    base_path: str | None = None,
    strategy: str | None = None,
    set: Sequence[str] | None = None,  # noqa: A002 - the flag's name
    no_input: bool = False,
) -> None:
    """Create a deployment of a module to a client's hosts."""
    from dagster_module_builder.commands.deploy_hosts import say_to_commit
    from dagster_module_builder.deploy import configure as use_case
    from dagster_module_builder.deploy import questions as strategy_questions
    from dagster_module_builder.deploy.connection.typed_names import typed
    from dagster_module_builder.deploy.model.deployment import read_deployment
    from dagster_module_builder.deploy.pipeline import summary
    from dagster_module_builder.modules.module import locate

    root_path = root_of(root)
    folder = locate(root_path, module)
    flags = {"deployment": deployment, "client": client, "hosts": hosts, "user": user, "base_path": base_path}
    answers: dict[str, Answer] = {
        **{key: value for key, value in flags.items() if value is not None},
        **_settings(set or ()),
    }
    asks = console.interactive() and not no_input
    chosen = strategy or _ask_strategy(strategy_questions.strategies(), asks=asks)
    carried = _carried(strategy_questions.carried_choice(chosen), answers, chosen, asks=asks)
    questions = strategy_questions.questionnaire(chosen, carried)
    _refuse_unknown(questions, answers)
    detected = strategy_questions.detected(root_path, folder, chosen, carried)
    if asks:
        answers = _asked(questions, detected, answers)
    missing = [name for name in ("deployment", "client", "hosts") if name not in answers]
    if missing:
        raise UsageError(f"Not running in a terminal: pass {', '.join(f'--{name}' for name in missing)}.")
    created = use_case.configure(root_path, folder, chosen, _typed(questions, answers))
    console.say(f"Created {created.folder}")
    for path in created.files:
        is_inside = path.is_relative_to(created.folder)
        console.say(f"  made    {path.relative_to(created.folder) if is_inside else path}")
    if created.empty:
        console.tell(f"Fill in {', '.join(created.empty)} in {created.folder / '.env.deploy'}.")
    configured = read_deployment(created.folder)
    if configured.pipeline is not None:
        console.say(f"{configured.names.name} is deployed to {configured.name!r} by {summary(configured)}.")
        console.say(f"The pipeline installs {configured.pipeline['tool']}.")
    say_to_commit(configured)
    name, suffix = typed(created.folder), f" --root {shlex.quote(root)}" if root else ""
    console.say_next(
        [
            (f"deploy.trust {name}{suffix}", "pin the hosts' keys"),
            (f"deploy.setup {name}{suffix}", "prepare the hosts"),
            (f"deploy {name}{suffix} --dry-run", "show what would change"),
        ]
    )


def _settings(pairs: Sequence[str]) -> dict[str, Answer]:
    for pair in pairs:
        if "=" not in pair:
            raise UsageError(f"--set {pair} has no '='. Pass NAME=VALUE.")
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def _ask_strategy(names: Sequence[str], *, asks: bool) -> str:
    if not asks:
        raise UsageError(f"Not running in a terminal: pass --strategy ({', '.join(names)}).")
    from cookiecutter.prompt import read_user_choice

    prompts = {"strategy": {"__prompt__": "Deployment strategy"}}
    return str(read_user_choice("strategy", list(names), prompts))


def _carried(choice: Question | None, answers: dict[str, Answer], strategy: str, *, asks: bool) -> str | None:
    """Return the strategy that a pipeline carries out, from the answers or by asking; other questions depend on it."""
    if choice is None:
        return None
    if choice.name not in answers:
        from dagster_module_builder.deploy.questions import questionnaire

        answers[choice.name] = questionnaire(strategy).ask(choice, answers) if asks else choice.default
    return str(answers[choice.name])


def _refuse_unknown(questions: Questionnaire, answers: Mapping[str, Answer]) -> None:
    known = {question.name for question in questions}
    for name in answers:
        if name not in known:
            raise UsageError(
                f"Unknown question {name!r} of {questions.folder.name}. Choose one of {', '.join(sorted(known))}."
            )


def _asked(questions: Questionnaire, detected: Mapping[str, Answer], passed: Mapping[str, Answer]) -> dict[str, Answer]:
    """Return all answers; ask for those that neither a flag nor the module gives."""
    answers: dict[str, Answer] = {**detected, **passed}
    for question in questions:
        if question.name not in answers:
            answers[question.name] = questions.ask(question, answers)
    return answers


def _typed(questions: Questionnaire, answers: Mapping[str, Answer]) -> dict[str, Answer]:
    """Convert the answers of yes-or-no questions to booleans: ``"yes"`` -> ``True``."""
    kinds: dict[str, Question] = {question.name: question for question in questions}
    return {
        name: str(answer).lower() in {"y", "yes", "true", "1"} if isinstance(kinds[name].default, bool) else answer
        for name, answer in answers.items()
    }
