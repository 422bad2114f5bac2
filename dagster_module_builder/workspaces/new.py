"""A new module in the workspace: rendered beside, renamed into place."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dagster_module_builder.base import ports, settings
from dagster_module_builder.base.errors import NoWorkspaceError, RefusedError, UsageError
from dagster_module_builder.base.layout import FILE, SECTION, WorkspaceLayout, layout_of
from dagster_module_builder.base.names import colliding, problem_with_name
from dagster_module_builder.modules import trusted_code
from dagster_module_builder.templating.questionnaire import Answer, Question, Questionnaire, questions_of
from dagster_module_builder.templating.rendering import render
from dagster_module_builder.templating.template_folders import MODULE_TEMPLATE, STAGING_PREFIX, prepared, staging
from dagster_module_builder.transactions.lock import locked
from dagster_module_builder.workspaces.initialize import is_workspace

CALLER_VARIABLE = settings.CALLER_VARIABLE

_SERVERS = {"postgresql", "mysql"}
#: The flags of the questions about a database server.
_SERVER_FLAGS = {"database_port": "--port", "database_name": "--database-name", "database_user": "--database-user"}

#: Asks for the answers that are not given, and returns all of them.
Ask = Callable[[Questionnaire, Mapping[str, Answer]], Mapping[str, Answer]]


@dataclass(frozen=True)
class NewModule:
    """A new module: its folder, its files, and the answers."""

    path: Path
    files: tuple[Path, ...]
    answers: Mapping[str, Answer]


def new(
    root: Path,
    name: str | None,
    given: Mapping[str, Answer],
    ask: Ask | None = None,
    *,
    into: Path | None = None,
    lasting: bool = True,
) -> NewModule:
    """Make a module in a folder of modules; a failure or an interruption leaves nothing behind.

    Args:
        root: The workspace's root.
        name: The module's name; None to ask for it.
        given: Answers by question, with the template's names.
        ask: Asks for the answers that are not given; None takes the defaults.
        into: The folder of modules that it goes into; None for the first one.
        lasting: Whether to remember that it was made here, so that its code runs without a question.

    Raises:
        RefusedError: The name or an answer is refused, or the folder exists. Nothing was written.
        UsageError: An answer is for no question.
    """
    if name is not None and (problem := problem_with_name(name)):
        raise RefusedError(problem)
    if not is_workspace(root):
        raise NoWorkspaceError(root)
    # Held from the port's detection to the rename: no other command is offered the same port meanwhile.
    with locked(root):
        layout = layout_of(root)
        projects = _folder_for(layout, into)
        if name is not None:
            _refuse_taken(layout, name)
            given = {"name": name, **given}
        for folder in layout.module_folders:
            _remove_leftovers(folder)
        environment = {CALLER_VARIABLE: "port detected", settings.ROOT_VARIABLE: str(root)}
        with prepared(MODULE_TEMPLATE, environment) as template:
            answers = _answers(root, template, given, ask)
            with staging(projects) as staged:
                made = render(template, answers, staged, environment)
                path = made.rename(projects / made.name)
    if lasting:
        trusted_code.remember_made(path)
    files = tuple(sorted(file for file in path.rglob("*") if file.is_file()))
    return NewModule(path, files, answers)


def _answers(root: Path, template: Path, given: Mapping[str, Answer], ask: Ask | None) -> dict[str, Answer]:
    questionnaire = replace(questions_of(template), judge=partial(_judge, root, given))
    # Ask only after the answers from the command line were accepted.
    answers = _defaults(questionnaire, given)
    _refuse_without_server(given, given.get("database") or (None if ask else "none"))
    if "database_port" in given:
        _refuse_taken_port(root, given["database_port"])
    return _answered(questionnaire, ask(questionnaire, given)) if ask else answers


def _defaults(questionnaire: Questionnaire, given: Mapping[str, Answer]) -> dict[str, Answer]:
    """Return the answers without asking; answers about a database server are judged as if there were one."""
    assumed = {"database": "postgresql"} if _of_server(given) else {}
    return _answered(questionnaire, {**assumed, **given})


def _judge(root: Path, given: Mapping[str, Answer], question: Question, answers: Mapping[str, Answer]) -> None:
    answer = answers[question.name]
    if question.name == "name":
        if problem := problem_with_name(str(answer)):
            raise RefusedError(problem)
        _refuse_taken(layout_of(root), str(answer))
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


def _folder_for(layout: WorkspaceLayout, into: Path | None) -> Path:
    """Return the folder that a new module goes into.

    Raises:
        RefusedError: The asked one is no folder of modules.
    """
    if into is None:
        return layout.new_modules
    asked = into.resolve()
    if found := next((folder for folder in layout.module_folders if folder.resolve() == asked), None):
        return found
    if not asked.is_relative_to(layout.root.resolve()) or asked == layout.root.resolve():
        raise RefusedError(f"{into} is not below {layout.root}, so no module of this workspace can be made there.")
    listed = [folder.relative_to(layout.root).as_posix() for folder in layout.module_folders]
    line = ", ".join([*listed, asked.relative_to(layout.root.resolve()).as_posix()])
    raise RefusedError(
        f"{into} is no folder of this workspace's modules. To make it one, write 'projects = {line}' into "
        f"{layout.root / FILE}, below [{SECTION}]."
    )


def _refuse_taken(layout: WorkspaceLayout, name: str) -> None:
    for path in (folder / name for folder in layout.module_folders):
        if path.exists() or path.is_symlink():
            raise RefusedError(f"{path} exists already and was not touched.")
    if other := colliding(
        name, [path.name for folder in layout.module_folders if folder.is_dir() for path in folder.iterdir()]
    ):
        raise RefusedError(
            f"{name!r} and the existing {other!r} would have the same variables and services. Choose another name."
        )


def _remove_leftovers(projects: Path) -> None:
    """Remove the staging folders of earlier commands that were killed; under the lock none is in use."""
    for leftover in projects.glob(f"{STAGING_PREFIX}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _answered(questionnaire: Questionnaire, given: Mapping[str, Answer]) -> dict[str, Answer]:
    questionnaire.refuse_unknown(given)
    questionnaire.refuse_unoffered(given)
    return questionnaire.complete(given)
