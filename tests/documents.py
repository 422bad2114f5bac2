"""Reads documents as a person does: which commands they say to type, in their order, and what they name on the way.

A block of commands is fenced (``console``, ``bash``, ``sh``) or indented by four blanks behind an empty line. In a
``console`` block only what stands behind ``$ `` is typed. Behind a command and two blanks stands what it does.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: What the program is called in documents.
PROGRAMS = ("dagster-module-builder", "invoke", ".venv/bin/invoke")
SHELLS = frozenset({"", "console", "bash", "sh"})

_BLOCK = re.compile(
    r"^ *```(?P<language>\w*)\n(?P<fenced>(?s:.*?))^ *```$"
    r"|(?<=\n\n)(?P<indented>(?: {4,}(?![-|*] )\S.*(?:\n|\Z)(?:\n+(?= {4,}\S))?)+)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """Lines that stand together as code.

    Attributes:
        language: What the fence says; empty for an indented block.
        text: Without the indentation.
        before: The paragraph before it, which says where it is typed.
    """

    language: str
    text: str
    before: str

    def commands(self) -> list[str]:
        """Return what is typed, line by line; a line that goes on behind a backslash is one."""
        lines = re.sub(r"\s*\\\n\s*", " ", self.text).splitlines()
        if self.language == "console":
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        return [line for line in lines if line.strip()]


@dataclass(frozen=True)
class Document:
    """A page of Markdown, and what it is called in messages."""

    name: str
    text: str

    def section(self, title: str) -> Document:
        """Return what stands below a heading of the second level."""
        _, found, rest = f"\n{self.text}".partition(f"\n## {title}\n")
        assert found, f"{self.name} has no section {title!r}"
        return Document(f"{self.name}#{title}", rest.partition("\n## ")[0])

    def blocks(self) -> Iterator[Block]:
        """Yield every block of code, in the page's order."""
        for match in _BLOCK.finditer(self.text):
            before = self.text[: match.start()].rstrip().rpartition("\n\n")[2]
            language, code = match["language"] or "", match["fenced"] or match["indented"] or ""
            margin = min((len(line) - len(line.lstrip()) for line in code.splitlines() if line.strip()), default=0)
            yield Block(language, "\n".join(line[margin:] for line in code.splitlines()), before)

    def shell(self) -> Iterator[Block]:
        """Yield the blocks of commands."""
        return (block for block in self.blocks() if block.language in SHELLS)

    def typed(self) -> list[list[str]]:
        """Return each command of this program that a block says to type, without the program's name."""
        lines = [line for block in self.shell() for line in block.commands()]
        return [words[1:] for line in lines for words in _commands_in(line) if words[0] in PROGRAMS]

    def inline(self) -> list[str]:
        """Return each piece of code in a sentence or a table."""
        rest = _BLOCK.sub("", self.text)
        return [" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", rest)]

    def links(self) -> list[str]:
        """Return each file that a link or picture leads to, with its heading behind ``#``."""
        prose = re.sub(r"`[^`\n]*`", "", _BLOCK.sub("", self.text))
        return [path for path in re.findall(r"\[[^]]*\]\(([^)\s]+)\)", prose) if ":" not in path]

    def anchors(self) -> set[str]:
        """Return the names by which links find the headings, as GitHub and MkDocs make them.

        >>> sorted(Document("x", "# The `a.b` of it's\\n").anchors())
        ['the-ab-of-its']
        """
        headings = re.findall(r"(?m)^#+ (.+)$", _BLOCK.sub("", self.text))
        return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}


def read(path: Path) -> Document:
    """Return a page on the disk."""
    return Document(path.name, path.read_text("utf-8"))


def _commands_in(line: str) -> Iterator[list[str]]:
    """Yield the words of each command in a line, which ends before two blanks and an explanation."""
    for part in re.split(r" (?:&&|;|\|) ", re.split(r" {2,}(?=\S)", line.strip())[0]):
        if any(part.startswith(f"{program} ") for program in PROGRAMS):
            yield shlex.split(part, comments=True)
