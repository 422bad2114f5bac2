"""A template's rendering for a module that is there: the same answers, no secret, nothing integrated."""

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

#: What the template's hooks are told, so that a module's own port is not taken for somebody else's.
CALLER = "upgrade"
_PREFIX = "dagster-module-builder-"
_GENERATED = re.compile(rb"^(\w+_DB_(ROOT_)?PASSWORD)='.*'", re.MULTILINE)


@dataclass(frozen=True)
class Rendering:
    """A module as the template makes it.

    Attributes:
        tree: Its files, with placeholders for secrets.
        record: What the template records: its version and the answers.
        notes: Questions that are new, with the answers that were taken, and answers that count no more.
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
    """A rendering that was made before it is needed, and what it was made of."""

    source: Mapping[str, Any] | Record
    rendering: Rendering


def rendering(root: Path, recorded: Mapping[str, Any] | Record, template: str | Path = MODULE_TEMPLATE) -> Rendering:
    """Render a template with a module's answers.

    Args:
        root: The workspace's root.
        recorded: The answers, or the module's record of them; questions that are new get their default.
        template: As for ``template_folder``.

    Raises:
        DamagedFileError: A recorded answer is not of its question.
        UsageError: The same, of an answer that is given now.
        RefusedError: The template refuses an answer.
    """
    # What the hooks say of this machine was said when the module was made.
    with (
        contextlib.redirect_stderr(io.StringIO()),
        tempfile.TemporaryDirectory(prefix=_PREFIX) as folder,
        prepared_template(root, template) as prepared,
    ):
        questionnaire = questions_of(prepared)
        answers, notes = _answers(questionnaire, recorded)
        made = render(prepared, answers, Path(folder), environment_of(root))
        return Rendering(_tree(made), (made / RECORD).read_bytes(), tuple(notes))


def environment_of(root: Path) -> dict[str, str]:
    """Return what the template's hooks are told."""
    return {CALLER_VARIABLE: CALLER, settings.ROOT_VARIABLE: str(root)}


def prepared_template(root: Path, template: str | Path = MODULE_TEMPLATE) -> AbstractContextManager[Path]:
    """Give a template that many modules of a workspace can be rendered from, as ``template`` of ``rendering``."""
    return prepared(template, environment_of(root))


def _tree(made: Path) -> Tree:
    """Return the files before their secrets were put in; where the template kept none so, they are taken out again."""
    kept = made / baseline.FILE
    if kept.is_file():
        return baseline.unpacked(kept.read_bytes())
    return {
        name: FileContent(_without_secrets(one.content), one.executable) if name.endswith("/.env") else one
        for name, one in baseline.tree_of(made).items()
    }


def _without_secrets(text: bytes) -> bytes:
    return _GENERATED.sub(lambda found: b"%s='@%sPASSWORD@'" % (found[1], found[2] or b""), text)


def _answers(questionnaire: Questionnaire, source: Mapping[str, Any] | Record) -> tuple[dict[str, Answer], list[str]]:
    answers: dict[str, Answer] = {}
    notes = []
    known = {question.name for question in questionnaire}
    recorded = source.answers if isinstance(source, Record) else source
    if isinstance(source, Record) and (unknown := sorted(source.changed - known)):
        raise UsageError(f"--set {unknown[0]}: the template asks no such question. It asks {', '.join(sorted(known))}.")
    for question in questionnaire:
        if question.name in recorded:
            refuse_unfit(question, recorded[question.name], _place_of(source, question.name))
            answers[question.name] = recorded[question.name]
        else:
            answers[question.name] = questionnaire.default(question, answers)
            notes.append(f"New question {question.name!r} ({question.prompt}): {answers[question.name]!r} was taken.")
    notes += [f"The template no longer asks for {name!r}." for name in recorded if name not in known]
    return answers, notes


def _place_of(source: Mapping[str, Any] | Record, question: str) -> Path | None:
    """Return the record that an answer stands in; None where it is given now."""
    return source.path if isinstance(source, Record) and question not in source.changed else None
