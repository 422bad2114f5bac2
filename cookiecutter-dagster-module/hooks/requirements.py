"""The table of system requirements: the packages that each adds to a module, and their sizes.

Standard library only: hooks run in an environment where only Cookiecutter is installed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PREFIX = "requires_"

#: Warn if the packages add more than this many megabytes to the image.
LARGE = 100


@dataclass(frozen=True)
class Requirement:
    """One row; ``apt`` and ``python`` map packages to the megabytes that each adds to an image."""

    name: str
    question: str
    apt: Mapping[str, int] = field(default_factory=dict)
    python: Mapping[str, int] = field(default_factory=dict)
    programs: tuple[str, ...] = ()
    alternatives: str = ""

    @property
    def variable(self) -> str:
        """The name of its question in Cookiecutter: ``requires_pdf``."""
        return PREFIX + self.name

    @property
    def prompt(self) -> str:
        """The question, with the size: ``"SSH, SCP and SFTP? (+7 MB)"``."""
        return f"{self.question}? (+{sum(packages(self).values())} MB)"


def packages(requirement: Requirement) -> dict[str, int]:
    """Return all packages of a requirement with their sizes in megabytes."""
    return {**requirement.apt, **requirement.python}


def read_table(file: Path) -> list[Requirement]:
    """Return the rows of ``requirements.json``, in file order."""
    rows: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return [Requirement(name, **(row | {"programs": tuple(row.get("programs", ()))})) for name, row in rows.items()]


def chosen(table: list[Requirement], answers: Mapping[str, Any]) -> list[Requirement]:
    """Return the rows that were answered with yes."""
    return [requirement for requirement in table if answers.get(requirement.variable)]


def size_warning(requirements: list[Requirement]) -> str | None:
    """Return a warning with alternatives if the packages add more than ``LARGE`` megabytes, else None."""
    sizes: dict[str, int] = {}
    for requirement in requirements:
        sizes.update(packages(requirement))
    total = sum(sizes.values())
    if total <= LARGE:
        return None
    largest = ", ".join(f"{name} {size} MB" for name, size in sorted(sizes.items(), key=lambda item: -item[1]))
    alternatives = [f"  instead of {row.name}: {row.alternatives}" for row in requirements if row.alternatives]
    return "\n".join([f"The image grows by about {total} MB ({largest}).", *alternatives])
