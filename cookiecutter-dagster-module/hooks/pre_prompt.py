"""Before the first question: report what the machine lacks, and complete the questions.

Runs in Cookiecutter's temporary copy of the template, which it may change; it does not read standard input.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import machine
import ports
import requirements
import settings

TEMPLATE = Path(__file__).resolve().parent.parent
QUESTIONS = TEMPLATE / "cookiecutter.json"


def main() -> None:
    """Print the machine's report unless the caller did; add the free port and the requirements to the questions."""
    if settings.CALLER_VARIABLE not in os.environ:
        print(machine.report(machine.preflight()), file=sys.stderr)
    questions = json.loads(QUESTIONS.read_text(encoding="utf-8"))
    questions["database_port"] = str(ports.next_free_port(ports.known_ports(settings.workspace_root())))
    table = requirements.read_table(TEMPLATE / requirements.FILE)
    questions = with_requirements(questions, table)
    if settings.CALLER_VARIABLE not in os.environ:
        questions = with_one_question(questions, table)
    QUESTIONS.write_text(json.dumps(questions, indent=2) + "\n", encoding="utf-8")


def with_requirements(questions: dict[str, Any], table: list[requirements.Requirement]) -> dict[str, Any]:
    """Return the questions with a yes-or-no question for each requirement, placed before the workspace question."""
    if table[0].variable in questions:
        return questions
    asked = _before("workspace", questions, {row.variable: False for row in table})
    asked["__prompts__"] = questions["__prompts__"] | {row.variable: row.prompt for row in table}
    return asked


def with_one_question(questions: dict[str, Any], table: list[requirements.Requirement]) -> dict[str, Any]:
    """Return the questions with the one that a person answers by hand with the names of requirements."""
    judged = {f"__{requirements.QUESTION}": f"{{{{ cookiecutter.{requirements.QUESTION} | known_requirements }}}}"}
    asked = _before("database_name", questions, {requirements.QUESTION: "none", **judged})
    text = f"System requirements, with commas: {', '.join(row.name for row in requirements.offered(table))}"
    asked["__prompts__"] = questions["__prompts__"] | {requirements.QUESTION: text}
    return asked


def _before(name: str, questions: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Return the questions with others in front of one of them."""
    names = list(questions)
    return {key: questions[key] for key in names[: names.index(name)]} | more | questions


if __name__ == "__main__":
    try:
        main()
    except (OSError, LookupError, ValueError) as error:
        sys.exit(f"The template's questions could not be prepared: {error}")
