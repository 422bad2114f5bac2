"""A module's record of its template and answers, read strictly: an upgrade relies on it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from dagster_module_builder.base.errors import DamagedFileError, RefusedError, UsageError
from dagster_module_builder.base.ports import next_free_port
from dagster_module_builder.modules.module import RECORD
from dagster_module_builder.templating.questionnaire import Question
from dagster_module_builder.templating.template_folders import MODULE_TEMPLATE, template_folder
from dagster_module_builder.transactions import module_files

_SERVERS = ("postgresql", "mysql")
_YES_OR_NO: Mapping[str, bool] = {"true": True, "false": False}


@dataclass(frozen=True)
class Record:
    """The record of one module.

    Attributes:
        path: The record's file.
        version: The template's version.
        answers: The answers by question.
        changed: The questions whose answers were changed on the command line.
    """

    path: Path
    version: str
    answers: Mapping[str, Any]
    changed: frozenset[str] = frozenset()

    def with_answers(self, changes: Mapping[str, str], taken_ports: Iterable[int]) -> Record:
        """Return the record with other answers; a new database gets a free port, unless ``changes`` has one.

        Raises:
            UsageError: The name cannot be changed: it is the folder's.
        """
        if "name" in changes:
            raise UsageError("--set name: a module's name is its folder's. Make a new module instead.")
        answers = {**self.answers, **{name: _YES_OR_NO.get(value, value) for name, value in changes.items()}}
        servers = [side.get("database") in _SERVERS for side in (self.answers, answers)]
        if servers == [False, True] and "database_port" not in changes and _port(answers) in (taken := {*taken_ports}):
            answers["database_port"] = str(next_free_port(taken))
        return replace(self, answers=answers, changed=frozenset(changes))


def read_record(module: Path) -> Record | None:
    """Return a module's record; None if the template did not make the module.

    Raises:
        DamagedFileError: It is not what the template writes.
    """
    path = module / RECORD
    content = module_files.read(module, path)
    if content is None:
        return None
    try:
        data = json.loads(content)
        record = Record(path, str(Version(data["template_version"])), dict(data["answers"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, InvalidVersion):
        raise _damaged(path, "this record is damaged") from None
    return record


def _port(answers: Mapping[str, Any]) -> int:
    port = str(answers.get("database_port"))
    return int(port) if port.isascii() and port.isdigit() else 0


def _damaged(path: Path, problem: str) -> DamagedFileError:
    return DamagedFileError(path, None, problem, f"Restore it from git: 'git checkout -- {path.name}'.")


def refuse_newer(module: str, recorded: str, today: str) -> None:
    """Refuse to downgrade a module.

    Raises:
        RefusedError: The module was made from a newer template than this program has.
    """
    if Version(recorded) > Version(today):
        raise RefusedError(
            f"{module!r} was made from template {recorded}, and this program has {today}: an upgrade would be a "
            f"downgrade. Update this program, then upgrade the module."
        )


def refuse_unfit(question: Question, answer: object, path: Path | None) -> None:
    """Refuse an answer that does not fit its question.

    Args:
        question: The question.
        answer: The answer.
        path: The record that holds it; None if it comes from the command line.

    Raises:
        DamagedFileError: It is not one of the question's choices, or of another type.
        UsageError: The same, for an answer from the command line.
    """
    is_yes_or_no = isinstance(question.default, bool)
    if question.choices and answer not in question.choices:
        wanted = f"choose {', '.join(question.choices)}"
    elif isinstance(answer, bool) != is_yes_or_no or not isinstance(answer, (str, bool)):
        wanted = f"it has to be {'true or false' if is_yes_or_no else 'a text'}"
    else:
        return
    problem = f"{question.name} is {json.dumps(answer, ensure_ascii=False, default=str)[:80]}: {wanted}"
    if path is None:
        raise UsageError(f"--set: {problem}.")
    cure = f"Correct it there, or run 'upgrade {path.parent.name} --set {question.name}=…'."
    raise DamagedFileError(path, None, problem, cure)


def template_version() -> str:
    """Return the version of the template that this program has."""
    return (template_folder(MODULE_TEMPLATE) / "VERSION").read_text("utf-8").strip()
