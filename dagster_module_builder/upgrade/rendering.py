"""Render a template for an existing module: with its answers, without secrets, without adding it to the workspace."""

from __future__ import annotations

import contextlib
import io
import json
import re
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster_module_builder.base import baseline, settings
from dagster_module_builder.base.baseline import FileContent, Tree
from dagster_module_builder.base.errors import UsageError
from dagster_module_builder.modules.module import RECORD
from dagster_module_builder.modules.record import Record, refuse_unfit
from dagster_module_builder.templating.questionnaire import Answer, Questionnaire, questions_of
from dagster_module_builder.templating.rendering import render
from dagster_module_builder.templating.template_folders import MODULE_TEMPLATE, prepared
from dagster_module_builder.workspaces.new import CALLER_VARIABLE

#: Tells the template's hooks that this is an upgrade, so that the module's port is not refused as taken.
CALLER = "upgrade"
_PREFIX = "dagster-module-builder-"
_GENERATED = re.compile(rb"^(\w+_DB_(ROOT_)?PASSWORD)='.*'", re.MULTILINE)


@dataclass(frozen=True)
class Rendering:
    """A module as the template renders it.

    Attributes:
        tree: Its files, with placeholders for secrets.
        record: The template's record: its version and the answers.
        notes: New questions with their default answers, and answers that are no longer used.
    """

    tree: Tree
    record: bytes
    notes: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """The template's version."""
        return str(json.loads(self.record).get("template_version"))


@dataclass(frozen=True)
class Prepared:
    """A rendering made in advance, and the answers it was made from."""

    source: Mapping[str, Any] | Record
    rendering: Rendering


def rendering(root: Path, recorded: Mapping[str, Any] | Record, template: str | Path = MODULE_TEMPLATE) -> Rendering:
    """Render a template with a module's answers.

    Args:
        root: The workspace's root.
        recorded: The answers, or the module's record of them; new questions get their defaults.
        template: As for ``template_folder``.

    Raises:
        DamagedFileError: A recorded answer is not valid for its question.
        UsageError: An answer from ``--set`` is not valid, or its question does not exist.
        RefusedError: The template refuses an answer.
    """
    # The hooks' report about this machine was shown when the module was created.
    with (
        contextlib.redirect_stderr(io.StringIO()),
        tempfile.TemporaryDirectory(prefix=_PREFIX) as folder,
        prepared_template(root, template) as prepared,
    ):
        questionnaire = questions_of(prepared)
        answers, notes = _answers(questionnaire, recorded)
        module = render(prepared, answers, Path(folder), environment_of(root))
        return Rendering(_tree(module), (module / RECORD).read_bytes(), tuple(notes))


def environment_of(root: Path) -> dict[str, str]:
    """Return the environment variables for the template's hooks."""
    return {CALLER_VARIABLE: CALLER, settings.ROOT_VARIABLE: str(root)}


def prepared_template(root: Path, template: str | Path = MODULE_TEMPLATE) -> AbstractContextManager[Path]:
    """Yield a prepared template that renders many modules quickly, for ``rendering``."""
    return prepared(template, environment_of(root))


def _tree(module: Path) -> Tree:
    """Return the files without secrets: from the baseline, or with placeholders if there is no baseline."""
    file = module / baseline.FILE
    if file.is_file():
        return baseline.unpacked(file.read_bytes())
    return {
        name: FileContent(_without_secrets(content.content), content.executable) if name.endswith("/.env") else content
        for name, content in baseline.tree_of(module).items()
    }


def _without_secrets(text: bytes) -> bytes:
    return _GENERATED.sub(lambda match: b"%s='@%sPASSWORD@'" % (match[1], match[2] or b""), text)


def _answers(questionnaire: Questionnaire, source: Mapping[str, Any] | Record) -> tuple[dict[str, Answer], list[str]]:
    answers: dict[str, Answer] = {}
    notes = []
    known = {question.name for question in questionnaire}
    recorded = source.answers if isinstance(source, Record) else source
    if isinstance(source, Record) and (unknown := sorted(source.changed - known)):
        raise UsageError(
            f"--set {unknown[0]}: the template has no such question. Choose one of {', '.join(sorted(known))}."
        )
    for question in questionnaire:
        if question.name in recorded:
            refuse_unfit(question, recorded[question.name], _record_of(source, question.name))
            answers[question.name] = recorded[question.name]
        else:
            answers[question.name] = questionnaire.default(question, answers)
            notes.append(
                f"New question {question.name!r} ({question.prompt}): used the default {answers[question.name]!r}."
            )
    notes += [f"The template no longer asks for {name!r}." for name in recorded if name not in known]
    return answers, notes


def _record_of(source: Mapping[str, Any] | Record, question: str) -> Path | None:
    """Return the record that contains an answer; None if the answer comes from ``--set``."""
    return source.path if isinstance(source, Record) and question not in source.changed else None
