"""The table of system requirements: the packages that each adds to a module, and their sizes.

Standard library only: the template's hooks import this file where Cookiecutter was installed alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

PREFIX = "requires_"
#: Cookiecutter's one question about all of them, which the names of some answer: ``ssh, pdf``.
QUESTION = "requires"
#: The table's file in the template.
FILE = "requirements.json"

#: Warn if the packages add more than this many megabytes to the image.
LARGE = 100


@dataclass(frozen=True)
class Requirement:
    """One row; ``apt`` and ``python`` map packages to the megabytes that each adds to an image."""

    name: str
    question: str
    group: str = "programs"
    apt: Mapping[str, int] = field(default_factory=dict)
    python: Mapping[str, int] = field(default_factory=dict)
    programs: tuple[str, ...] = ()
    alternatives: str = ""

    @property
    def variable(self) -> str:
        """The name of its answer in Cookiecutter: ``requires_pdf``."""
        return PREFIX + self.name

    @property
    def prompt(self) -> str:
        """The question, with the size: ``"SSH, SCP and SFTP (+7 MB)"``."""
        return f"{self.question} (+{sum(packages(self).values())} MB)"


def packages(requirement: Requirement) -> dict[str, int]:
    """Return all packages of a requirement with their sizes in megabytes."""
    return {**requirement.apt, **requirement.python}


def read_table(file: Path) -> list[Requirement]:
    """Return the rows of ``requirements.json``, in file order."""
    rows: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return [Requirement(name, **(row | {"programs": tuple(row.get("programs", ()))})) for name, row in rows.items()]


def offered(table: Iterable[Requirement]) -> list[Requirement]:
    """Return the rows to choose from, group by group: of those that add the same packages, the last."""
    rows = list({frozenset(packages(row)): row for row in table}.values())
    groups = list(dict.fromkeys(row.group for row in rows))
    return sorted(rows, key=lambda row: groups.index(row.group))


def names_in(text: str) -> list[str]:
    """Return the names in a list with commas: ``"ssh, pdf"`` -> ``["ssh", "pdf"]``; ``none`` and nothing are none."""
    names = [part.strip() for part in text.split(",")]
    return [name for name in names if name and name != "none"]


def problem_with_names(
    names: Iterable[str], table: Iterable[Requirement], did_you_mean: Callable[[str, Iterable[str]], str]
) -> str | None:
    """Return which names are not in the table, and those to choose from; None if all are in it.

    Args:
        names: The names.
        table: The rows.
        did_you_mean: That of ``names``, which the template's extension cannot import from here.
    """
    known = [row.name for row in table]
    wrong = [name for name in names if name not in known]
    if not wrong:
        return None
    meant = did_you_mean(wrong[0], known)
    return f"Unknown system requirement {', '.join(map(repr, wrong))}.{meant} Choose from {', '.join(known)}."


def chosen(table: list[Requirement], answers: Mapping[str, Any]) -> list[Requirement]:
    """Return the rows that were answered with yes, or named."""
    named = names_in(str(answers.get(QUESTION) or ""))
    return [row for row in table if answers.get(row.variable) or row.name in named]


def size_warning(requirements: Iterable[Requirement]) -> str | None:
    """Return a warning with alternatives if the packages add more than ``LARGE`` megabytes, else None."""
    rows = list(requirements)
    sizes: dict[str, int] = {}
    for requirement in rows:
        sizes.update(packages(requirement))
    total = sum(sizes.values())
    if total <= LARGE:
        return None
    largest = ", ".join(f"{name} {size} MB" for name, size in sorted(sizes.items(), key=lambda item: -item[1]))
    alternatives = [f"  instead of {row.name}: {row.alternatives}" for row in rows if row.alternatives]
    return "\n".join([f"The image grows by about {total} MB ({largest}).", *alternatives])
