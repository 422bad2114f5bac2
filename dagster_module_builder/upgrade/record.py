"""What a module records of the template that it was made from, read strictly: an upgrade goes by it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from dagster_module_builder import templates
from dagster_module_builder.errors import DamagedFileError, RefusedError
from dagster_module_builder.module import RECORD
from dagster_module_builder.templates import Question


@dataclass(frozen=True)
class Record:
    """The record of one module.

    Attributes:
        path: Where it stands.
        version: The template's version.
        answers: The answers by question.
    """

    path: Path
    version: str
    answers: Mapping[str, Any]


def read_record(module: Path) -> Record | None:
    """Return a module's record; None where it has none, since the template did not make it.

    Raises:
        DamagedFileError: It is not what the template writes.
    """
    path = module / RECORD
    if not path.exists():
        return None
    try:
        data = json.loads(path.read_bytes())
        record = Record(path, str(Version(data["template_version"])), dict(data["answers"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, InvalidVersion):
        raise _damaged(path, "this record is damaged") from None
    return record


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


def refuse_unfit(record: Record, questions: tuple[Question, ...]) -> None:
    """Refuse recorded answers that are not of their questions.

    Raises:
        DamagedFileError: One is none of its question's choices, or of another type.
    """
    for question in questions:
        if question.name in record.answers:
            answer = record.answers[question.name]
            if question.choices and answer not in question.choices:
                raise _unfit(record, question, answer, f"choose {', '.join(question.choices)}")
            if isinstance(answer, bool) != isinstance(question.default, bool) or not isinstance(answer, (str, bool)):
                wanted = "true or false" if isinstance(question.default, bool) else "a text"
                raise _unfit(record, question, answer, f"it has to be {wanted}")


def _unfit(record: Record, question: Question, answer: object, wanted: str) -> DamagedFileError:
    shown = json.dumps(answer, ensure_ascii=False)[:80]
    cure = f"Correct it there, or run 'upgrade {record.path.parent.name} --set {question.name}=…'."
    return DamagedFileError(record.path, None, f"{question.name} is {shown}: {wanted}", cure)


def template_version() -> str:
    """Return the version of the template that this program has."""
    return (templates.template_folder(templates.MODULE) / "VERSION").read_text("utf-8").strip()
