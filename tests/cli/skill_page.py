"""What the skill says: its tasks, and what people wish for in their own words."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.cli.message_texts import CONTEXTS
from tests.documents import Document, read

SKILL = read(Path(__file__).parents[2] / "skills/dagster-module-builder/SKILL.md")
PROGRAM = "dagster-module-builder"
#: These speak to hosts.
REMOTE = {"deploy", "deploy.check", "deploy.status"}
WISHES = re.findall(r"^## (Wish: .+)$", SKILL.text, re.MULTILINE)
#: What is used from day to day; the wishes have their own tests.
MODES = Document("modes", SKILL.text.partition(f"\n## {WISHES[0]}\n")[0])


def mentioned(document: Document) -> list[list[str]]:
    """Return the command lines in sentences: with the program's name, or beginning with a task."""
    lines = [shlex.split(code) for code in document.inline() if code.count("'") % 2 == 0]
    called = [line[1:] for line in lines if line[0] == PROGRAM and line[1:]]
    return called + [line for line in lines if line[0] in CONTEXTS]
