"""What a module records of the template that it was made from, read strictly: an upgrade goes by it."""

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
        path: Where it stands.
        version: The template's version.
        answers: The answers by question.
        given: Those among them that are given now, in the place of what is recorded.
    """

    path: Path
    version: str
    answers: Mapping[str, Any]
    given: frozenset[str] = frozenset()

    def with_answers(self, given: Mapping[str, str], taken_ports: Iterable[int]) -> Record:
        """Return it with other answers; a database that is new gets a port that is free, unless one is given.

        Raises:
            UsageError: The name cannot be changed so: it is the folder's.
        """
        if "name" in given:
            raise UsageError("--set name: the name is the folder's; make a new module in its place.")
        answers = {**self.answers, **{name: _YES_OR_NO.get(value, value) for name, value in given.items()}}
        servers = [side.get("database") in _SERVERS for side in (self.answers, answers)]
        if servers == [False, True] and "database_port" not in given and _port(answers) in (taken := {*taken_ports}):
            answers["database_port"] = str(next_free_port(taken))
        return replace(self, answers=answers, given=frozenset(given))


def read_record(module: Path) -> Record | None:
    """Return a module's record; None where it has none, since the template did not make it.

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


def _damaged(path: Path, found: str) -> DamagedFileError:
    return DamagedFileError(path, None, found, f"Take it back from git: 'git checkout -- {path.name}'.")


def refuse_newer(module: str, recorded: str, today: str) -> None:
    """Refuse to take newer code out of a module.

    Raises:
        RefusedError: The module was made from a newer template than this program has.
    """
    if Version(recorded) > Version(today):
        raise RefusedError(
            f"{module!r} was made from template {recorded}, and this program has {today}: an upgrade would be a "
            f"downgrade. Update this program, then upgrade the module."
        )


def refuse_unfit(question: Question, answer: object, path: Path | None) -> None:
    """Refuse an answer that is not of its question.

    Args:
        question: The question.
        answer: The answer.
        path: The record that it stands in; None where it was given on the command line.

    Raises:
        DamagedFileError: It is none of the question's choices, or of another type.
        UsageError: The same, of an answer that was given.
    """
    is_yes_or_no = isinstance(question.default, bool)
    if question.choices and answer not in question.choices:
        wanted = f"choose {', '.join(question.choices)}"
    elif isinstance(answer, bool) != is_yes_or_no or not isinstance(answer, (str, bool)):
        wanted = f"it has to be {'true or false' if is_yes_or_no else 'a text'}"
    else:
        return
    found = f"{question.name} is {json.dumps(answer, ensure_ascii=False, default=str)[:80]}: {wanted}"
    if path is None:
        raise UsageError(f"--set: {found}.")
    cure = f"Correct it there, or run 'upgrade {path.parent.name} --set {question.name}=…'."
    raise DamagedFileError(path, None, found, cure)


def template_version() -> str:
    """Return the version of the template that this program has."""
    return (template_folder(MODULE_TEMPLATE) / "VERSION").read_text("utf-8").strip()
