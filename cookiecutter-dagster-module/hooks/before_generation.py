"""The checks of all answers together, before a file is written.

Each answer was checked when it was given, too; a replayed or a programmed answer was not.
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

#: An upgrade renders the answers of a module that has its port already, and ``new`` has just looked for a free one.
PORT_IS_SETTLED = frozenset({"upgrade", "port detected"})


def main(repository: str, answers: Mapping[str, Any], raw_answers: Mapping[str, Any]) -> None:
    """Exit with the first problem, or tell what the chosen requirements mean."""
    template = Path(repository)
    problem = next(problems(template, answers, raw_answers), None)
    if problem:
        sys.exit(problem)
    report_requirements(requirements.chosen(requirements.read_table(template / "requirements.json"), answers))


def problems(template: Path, answers: Mapping[str, Any], raw_answers: Mapping[str, Any]) -> Iterator[str]:
    """Yield everything that is wrong, the name first."""
    database = answers["database"]
    found = [names.problem_with_name(answers["name"]), _problem_with_folder(Path.cwd())]
    found += [rules.problem(question, answer, database) for question, answer in answers.items()]
    found += _read_as_templates(template, raw_answers)
    if database in rules.SERVERS:
        found += [_problem_with_taken_port(int(answers["database_port"]))] if not any(found) else []
        password = os.environ.get(settings.PASSWORD_VARIABLE)
        found += [rules.problem_with_password(password)] if password is not None else []
    yield from filter(None, found)


def _problem_with_folder(project: Path) -> str | None:
    # Cookiecutter goes on into an existing folder when it is told to overwrite.
    if any(project.iterdir()):
        return f"{project} exists and is not empty: nothing in it was changed. Choose another name, or move it away."
    return None


def _read_as_templates(template: Path, raw_answers: Mapping[str, Any]) -> list[str | None]:
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
    """Print which of the required programs this machine has, and a warning when they are large."""
    cost = "needed to run the module outside a container"
    programs = {program: cost for row in chosen for program in row.programs}
    if programs:
        print(machine.report(machine.programs(programs)), file=sys.stderr)
    warning = requirements.size_warning(chosen)
    if warning:
        print(warning, file=sys.stderr)
