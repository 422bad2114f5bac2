"""The questions of a strategy, and the answers that a module and its workspace give."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dagster_module_builder.base import settings
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.deploy.strategies.base import load_steps
from dagster_module_builder.modules.module import FRAGMENT_NAMES, record_of
from dagster_module_builder.shared_files.formats import compose, env_file
from dagster_module_builder.shared_files.formats.yaml_text import loaded
from dagster_module_builder.templating.questionnaire import Answer, Question, Questionnaire, questions_of
from dagster_module_builder.transactions import module_files
from deploy_strategies import folders, strategy_folder

#: The question of a strategy that carries out another one: which one.
CARRIES = "carries_out"


#: The strategies in the order in which most deployments should consider them; others follow.
_FIRST = ("git", "rsync", "docker", "ci-cd")


def strategies() -> list[str]:
    """Return the names of all strategies, the one that fits most deployments first."""
    names = folders.names()
    return [*(name for name in _FIRST if name in names), *(name for name in names if name not in _FIRST)]


def strategy_labels() -> dict[str, str]:
    """Return for each strategy its name and when to choose it: ``{"git": "git: exactly one commit"}``."""
    lines = {name: questions_of(strategy_folder(name)).choose_it for name in strategies()}
    return {name: f"{name}: {line}" if line else name for name, line in lines.items()}


def all_names() -> list[str]:
    """Return the names of all strategies' questions."""
    names = dict.fromkeys(question.name for name in strategies() for question in questions_of(strategy_folder(name)))
    return list(names)


def carried_choice(strategy: str) -> Question | None:
    """Return the question about which other strategy this one carries out; None if it does the work itself.

    Raises:
        RefusedError: There is no such strategy.
    """
    asked = questions_of(strategy_folder(strategy))
    return next((question for question in asked if question.name == CARRIES), None)


def carried_by(strategy: str, answers: Mapping[str, Answer]) -> str | None:
    """Return the strategy that one carries out, as it is answered or by default; None if it does the work itself.

    Raises:
        RefusedError: There is no such strategy.
    """
    choice = carried_choice(strategy)
    return None if choice is None else str(answers.get(CARRIES, choice.default))


def questionnaire(strategy: str, carried: str | None = None) -> Questionnaire:
    """Return a strategy's questions, and those of the one that it carries out.

    If both strategies ask different questions by one name, the carried strategy's name is added: ``docker_platform``.

    Raises:
        RefusedError: There is no such strategy.
    """
    own = questions_of(strategy_folder(strategy))
    if carried is None:
        return own
    other = questions_of(strategy_folder(carried))
    names = renamed_questions(strategy, carried)
    context = {**{names.get(name, name): raw for name, raw in other.context.items()}, **own.context}
    own_names = {question.name for question in own}
    renamed = (
        replace(
            question,
            name=names[question.name],
            only={names.get(name, name): allowed for name, allowed in question.only.items()},
        )
        for question in other
    )
    more = [question for question in renamed if question.name not in own_names]
    return Questionnaire(own.folder, context, (*own.questions, *more))


def renamed_questions(strategy: str, carried: str) -> dict[str, str]:
    """Return the new names of a carried strategy's questions: ``{"platform": "docker_platform", "user": "user"}``."""
    own = {question.name: question for question in questions_of(strategy_folder(strategy))}
    return {
        question.name: question.name
        if question.name not in own or own[question.name].choices == question.choices
        else f"{carried}_{question.name}"
        for question in questions_of(strategy_folder(carried))
    }


def detected(root: Path, module: Path, strategy: str, carried: str | None = None) -> dict[str, Answer]:
    """Return the answers that can be read from the module and the workspace."""
    if carried is not None:
        return {**detected(root, module, carried), **load_steps(strategy).questions_from(module)}
    answers: dict[str, Answer] = {"module": module.name, "database": "none"}
    env = local_env(module)
    prefix = ModuleNames(module.name).env_prefix
    kind = _database(module)
    if kind:
        answers |= {"database": kind, "database_port": env.get(f"{prefix}_DB_PORT", "")}
    network = _workspace_env(root).get("WORKSPACE_NETWORK")
    if network:
        answers["network"] = network
    return {**answers, **load_steps(strategy).questions_from(module)}


def local_env(module: Path) -> dict[str, str]:
    """Return the settings that a module has in the workspace."""
    path = module / settings.FRAGMENTS / FRAGMENT_NAMES[env_file.NAME]
    return env_file.values(module_files.read(module, path) or b"")


def _workspace_env(root: Path) -> dict[str, str]:
    path = layout_of(root).env_file
    return env_file.values(path.read_bytes()) if path.is_file() else {}


def _database(module: Path) -> str | None:
    """Return the kind of the module's database, from its record or its services; None if it has none."""
    recorded = record_of(module).get("answers")
    asked = recorded.get("database") if isinstance(recorded, dict) else None
    if asked:
        return None if asked == "none" else str(asked)
    path = module / settings.FRAGMENTS / FRAGMENT_NAMES[compose.NAME]
    data = loaded(path, module_files.read(module, path) or b"")
    services = data.get("services") if isinstance(data, dict) else None
    images = " ".join(
        str(service.get("image", "")) for service in (services or {}).values() if isinstance(service, dict)
    ).lower()
    return "mysql" if re.search("mysql|mariadb", images) else "postgresql" if "postgres" in images else None
