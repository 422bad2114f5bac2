"""A new module in the workspace: rendered beside, renamed into place."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dagster_module_builder.base import ports, settings
from dagster_module_builder.base.errors import NoWorkspaceError, RefusedError, UsageError
from dagster_module_builder.base.names import colliding, problem_with_name
from dagster_module_builder.modules import trusted_code
from dagster_module_builder.templating.questionnaire import Answer, Question, Questionnaire, questions_of
from dagster_module_builder.templating.rendering import render
from dagster_module_builder.templating.template_folders import MODULE_TEMPLATE, STAGING_PREFIX, staging
from dagster_module_builder.transactions.lock import locked
from dagster_module_builder.workspaces.initialize import is_workspace

CALLER_VARIABLE = settings.CALLER_VARIABLE

#: What the questions about system requirements begin with.
REQUIRES = "requires_"

_SERVERS = {"postgresql", "mysql"}
#: The flags of the questions about a database server.
_SERVER_FLAGS = {"database_port": "--port", "database_name": "--database-name", "database_user": "--database-user"}

#: Asks one question, given the answers so far.
Ask = Callable[[Questionnaire, Question, Mapping[str, Answer]], Answer]


@dataclass(frozen=True)
class NewModule:
    """A new module: its folder, its files, and the answers."""

    path: Path
    files: tuple[Path, ...]
    answers: Mapping[str, Answer]


def new(
    root: Path, name: str, given: Mapping[str, Answer], ask: Ask | None = None, *, lasting: bool = True
) -> NewModule:
    """Make a module under ``projects/``; a failure or an interruption leaves nothing behind.

    Args:
        root: The workspace's root.
        name: The module's name.
        given: Answers by question, with the template's names.
        ask: Asks the questions without an answer; None takes the defaults.
        lasting: Whether to remember that it was made here, so that its code runs without a question.

    Raises:
        RefusedError: The name or an answer is refused, or the folder exists. Nothing was written.
        UsageError: An answer is for no question.
    """
    if problem := problem_with_name(name):
        raise RefusedError(problem)
    if not is_workspace(root):
        raise NoWorkspaceError(root)
    # Held from the port's detection to the rename: no other command is offered the same port meanwhile.
    with locked(root):
        projects = root / settings.PROJECTS
        _refuse_taken(projects, name)
        _remove_leftovers(projects)
        environment = {CALLER_VARIABLE: "port detected", settings.ROOT_VARIABLE: str(root)}
        questionnaire = questions_of(MODULE_TEMPLATE, environment)
        questionnaire = replace(questionnaire, judge=partial(_judge, root, given))
        # Ask only after the answers from the command line were accepted.
        answers = _defaults(questionnaire, {"name": name, **given})
        _refuse_without_server(given, given.get("database") or (None if ask else "none"))
        if "database_port" in given:
            _refuse_taken_port(root, given["database_port"])
        if ask:
            answers = _answered(questionnaire, {"name": name, **given}, ask)
        with staging(projects) as staged:
            made = render(MODULE_TEMPLATE, answers, staged, environment)
            path = made.rename(projects / name)
    if lasting:
        trusted_code.remember_made(path)
    files = tuple(sorted(file for file in path.rglob("*") if file.is_file()))
    return NewModule(path, files, answers)


def _defaults(questionnaire: Questionnaire, given: Mapping[str, Answer]) -> dict[str, Answer]:
    """Return the answers without asking; answers about a database server are judged as if there were one."""
    assumed = {"database": "postgresql"} if _of_server(given) else {}
    return _answered(questionnaire, {**assumed, **given}, None)


def _judge(root: Path, given: Mapping[str, Answer], question: Question, answer: Answer) -> None:
    if question.name == "database":
        _refuse_without_server(given, answer)
    if question.name == "database_port":
        _refuse_taken_port(root, answer)


def _of_server(given: Mapping[str, Answer]) -> list[str]:
    return [flag for question, flag in _SERVER_FLAGS.items() if question in given]


def _refuse_without_server(given: Mapping[str, Answer], database: Answer | None) -> None:
    flags = _of_server(given)
    if flags and database not in {None, *_SERVERS}:
        need, them = ("needs", "it") if len(flags) == 1 else ("need", "them")
        raise UsageError(
            f"{' and '.join(flags)} {need} a database server. Pass --database postgresql or mysql, or leave {them} out."
        )


def _refuse_taken_port(root: Path, port: Answer) -> None:
    if problem := ports.problem_with_taken(int(port), root):
        raise RefusedError(problem)


def _refuse_taken(projects: Path, name: str) -> None:
    if (projects / name).exists() or (projects / name).is_symlink():
        raise RefusedError(f"{projects / name} exists already and was not touched.")
    if other := colliding(name, [path.name for path in projects.iterdir()] if projects.is_dir() else []):
        raise RefusedError(
            f"{name!r} and the existing {other!r} would have the same variables and services. Choose another name."
        )


def _remove_leftovers(projects: Path) -> None:
    """Remove the staging folders of earlier commands that were killed; under the lock none is in use."""
    for leftover in projects.glob(f"{STAGING_PREFIX}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _answered(questionnaire: Questionnaire, given: Mapping[str, Answer], ask: Ask | None) -> dict[str, Answer]:
    unknown = set(given) - {question.name for question in questionnaire}
    if unknown:
        raise UsageError(_no_such_question(unknown, questionnaire))
    questionnaire.refuse_unoffered(given)
    answers: dict[str, Answer] = {}
    for question in questionnaire:
        if question.name in given:
            answers[question.name] = given[question.name]
        elif ask and _matters(question, answers):
            answers[question.name] = ask(questionnaire, question, answers)
        else:
            answers[question.name] = questionnaire.default(question, answers)
    return answers


def _no_such_question(unknown: Collection[str], questionnaire: Questionnaire) -> str:
    wrong = sorted(name.removeprefix(REQUIRES) for name in unknown if name.startswith(REQUIRES))
    if not wrong:
        return f"The template has no question {', '.join(sorted(unknown))}."
    offered = [question.name.removeprefix(REQUIRES) for question in questionnaire if question.name.startswith(REQUIRES)]
    return f"Unknown system requirement {', '.join(map(repr, wrong))}. Choose from {', '.join(offered)}."


def _matters(question: Question, answers: Mapping[str, Answer]) -> bool:
    """Tell whether a question has to be asked: those about a database server only if there is one."""
    if not question.name.startswith("database_"):
        return True
    return answers.get("database") in _SERVERS
