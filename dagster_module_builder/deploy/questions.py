"""The questions of a strategy, and the answers that a module and its workspace give."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from dagster_module_builder.base import settings
from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.deploy.strategies.base import load_steps
from dagster_module_builder.modules.module import FRAGMENT_NAMES, record_of
from dagster_module_builder.shared_files.formats import compose, env_file
from dagster_module_builder.shared_files.formats.yaml_text import loaded
from dagster_module_builder.templating.questionnaire import Answer, Question, Questionnaire, questions_of
from dagster_module_builder.transactions import module_files
from deploy_strategies import folders, strategy_folder

#: The question of a strategy that is laid over another one: which one that is.
CARRIES = "carries_out"


def strategies() -> list[str]:
    """Return the strategies that there are."""
    return folders.names()


def carried_choice(strategy: str) -> Question | None:
    """Return the question which other strategy this one carries out; None where it does the work itself.

    Raises:
        RefusedError: There is no such strategy.
    """
    asked = questions_of(strategy_folder(strategy))
    return next((question for question in asked if question.name == CARRIES), None)


def questionnaire(strategy: str, carried: str | None = None) -> Questionnaire:
    """Return a strategy's questions, and those of the one that it carries out.

    A question that both ask in different words has the carried strategy's name before its own: ``docker_platform``.

    Raises:
        RefusedError: There is no such strategy.
    """
    own = questions_of(strategy_folder(strategy))
    if carried is None:
        return own
    other = questions_of(strategy_folder(carried))
    renamed = {
        one: question_name
        for one, question_name in renamed_questions(strategy, carried).items()
        if one != question_name
    }
    context = {**{renamed.get(name, name): raw for name, raw in other.context.items()}, **own.context}
    more = [replace(one, name=renamed.get(one.name, one.name)) for one in other]
    names = {one.name for one in own}
    return Questionnaire(own.folder, context, (*own.questions, *(one for one in more if one.name not in names)))


def renamed_questions(strategy: str, carried: str) -> dict[str, str]:
    """Return, for each question of a carried strategy, what it is called beside the questions of the other one."""
    own = {one.name: one for one in questions_of(strategy_folder(strategy))}
    return {
        one.name: one.name if one.name not in own or own[one.name].choices == one.choices else f"{carried}_{one.name}"
        for one in questions_of(strategy_folder(carried))
    }


def detected(root: Path, module: Path, strategy: str, carried: str | None = None) -> dict[str, Answer]:
    """Return the answers that the module and the workspace give by themselves."""
    if carried is not None:
        return {**detected(root, module, carried), **load_steps(strategy).questions_from(module)}
    found: dict[str, Answer] = {"module": module.name, "database": "none"}
    env = local_env(module)
    prefix = ModuleNames(module.name).env_prefix
    kind = _database(module)
    if kind:
        found |= {"database": kind, "database_port": env.get(f"{prefix}_DB_PORT", "")}
    network = _workspace_env(root).get("WORKSPACE_NETWORK")
    if network:
        found["network"] = network
    return {**found, **load_steps(strategy).questions_from(module)}


def local_env(module: Path) -> dict[str, str]:
    """Return the settings that a module has in the workspace."""
    path = module / settings.FRAGMENTS / FRAGMENT_NAMES[env_file.NAME]
    return env_file.values(module_files.read(module, path) or b"")


def _workspace_env(root: Path) -> dict[str, str]:
    path = root / settings.SERVICES / env_file.NAME
    return env_file.values(path.read_bytes()) if path.is_file() else {}


def _database(module: Path) -> str | None:
    """Return the kind of the module's database: as it was asked for, else as its services say."""
    recorded = record_of(module).get("answers")
    asked = recorded.get("database") if isinstance(recorded, dict) else None
    if asked:
        return None if asked == "none" else str(asked)
    path = module / settings.FRAGMENTS / FRAGMENT_NAMES[compose.NAME]
    data = loaded(path, module_files.read(module, path) or b"")
    services = data.get("services") if isinstance(data, dict) else None
    images = " ".join(str(one.get("image", "")) for one in (services or {}).values() if isinstance(one, dict)).lower()
    return "mysql" if re.search("mysql|mariadb", images) else "postgresql" if "postgres" in images else None
