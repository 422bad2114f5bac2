"""Check all answers together before any file is written.

Interactive answers were checked when they were entered; replayed or scripted ones were not.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import answers as rules
import machine
import names
import ports
import requirements
import settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Callers whose port needs no check: an upgrade keeps the module's port, and ``new`` has just found a free one.
PORT_IS_SETTLED = frozenset({"upgrade", "port detected"})


def main(repository: str, answers: Mapping[str, Any], raw_answers: Mapping[str, Any]) -> None:
    """Exit with the first problem, or report on the chosen requirements."""
    template = Path(repository)
    problem = next(problems(template, answers, raw_answers), None)
    if problem:
        sys.exit(problem)
    report_requirements(requirements.chosen(requirements.read_table(template / requirements.FILE), answers))


def problems(template: Path, answers: Mapping[str, Any], raw_answers: Mapping[str, Any]) -> Iterator[str]:
    """Yield each problem with the answers, starting with the name."""
    database = answers["database"]
    checked = [names.problem_with_name(answers["name"]), _problem_with_folder(Path.cwd())]
    checked += [rules.problem(question, answer, database) for question, answer in answers.items()]
    checked += _problems_with_raw_texts(template, raw_answers)
    if database in rules.SERVERS:
        checked += [_problem_with_taken_port(int(answers["database_port"]))] if not any(checked) else []
        password = os.environ.get(settings.PASSWORD_VARIABLE)
        checked += [rules.problem_with_password(password)] if password is not None else []
    yield from filter(None, checked)


def _problem_with_folder(project: Path) -> str | None:
    # With --overwrite-if-exists Cookiecutter writes into an existing folder.
    if any(project.iterdir()):
        return (
            f"{project} already exists and is not empty; it was not changed. Choose another name, or move that folder."
        )
    return None


def _problems_with_raw_texts(template: Path, raw_answers: Mapping[str, Any]) -> list[str | None]:
    if settings.CALLER_VARIABLE in os.environ:
        return []
    defaults = json.loads((template / "cookiecutter.json").read_text(encoding="utf-8"))
    return [
        rules.problem_with_raw_text(question, str(raw_answers[question]), defaults[question])
        for question in rules.LONGEST_TEXT
    ]


def _problem_with_taken_port(port: int) -> str | None:
    if os.environ.get(settings.CALLER_VARIABLE) in PORT_IS_SETTLED:
        return None
    return ports.problem_with_taken(port, settings.workspace_root())


def report_requirements(chosen: list[requirements.Requirement]) -> None:
    """Print which required programs this machine has, and a warning if the packages are large."""
    cost = "needed to run the module outside a container"
    programs = {program: cost for row in chosen for program in row.programs}
    if programs:
        print(machine.report(machine.programs(programs)), file=sys.stderr)
    warning = requirements.size_warning(chosen)
    if warning:
        print(warning, file=sys.stderr)
