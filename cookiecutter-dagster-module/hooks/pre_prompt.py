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
    table = requirements.read_table(TEMPLATE / "requirements.json")
    QUESTIONS.write_text(json.dumps(with_requirements(questions, table), indent=2) + "\n", encoding="utf-8")


def with_requirements(questions: dict[str, Any], table: list[requirements.Requirement]) -> dict[str, Any]:
    """Return the questions with a yes-or-no question for each requirement, placed before the workspace question."""
    if table[0].variable in questions:
        return questions
    names = list(questions)
    before = names[: names.index("workspace")]
    asked = {name: questions[name] for name in before} | {row.variable: False for row in table} | questions
    asked["__prompts__"] = questions["__prompts__"] | {row.variable: row.prompt for row in table}
    return asked


if __name__ == "__main__":
    try:
        main()
    except (OSError, LookupError, ValueError) as error:
        sys.exit(f"The template's questions could not be prepared: {error}")
