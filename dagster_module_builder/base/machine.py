"""Which of the programs that modules need are on this machine, and what does not work without the others.

Standard library only: the template's hooks import this file where Cookiecutter was installed alone.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass

OLDEST_PYTHON = (3, 10)

#: Each program, and what does not work without it.
PROGRAMS = {
    "git": "no version control, no git deployments",
    "docker": "no containers: workspace.dev runs the workspace without them",
    "rsync": "no rsync deployments",
    "ssh": "no deployments",
}


@dataclass(frozen=True)
class Requirement:
    """Something that modules need; ``cost`` says what does not work without it."""

    name: str
    is_met: bool
    cost: str


def preflight() -> list[Requirement]:
    """Check for Python and the programs that modules and their deployments need."""
    version = ".".join(map(str, sys.version_info[:3]))
    wanted = ".".join(map(str, OLDEST_PYTHON))
    python = Requirement(f"Python {version}", sys.version_info >= OLDEST_PYTHON, f"{wanted} or newer is needed")
    return [python, *programs(PROGRAMS)]


def programs(costs: dict[str, str]) -> list[Requirement]:
    """Check for programs, each given with what does not work without it."""
    return [Requirement(name, shutil.which(name) is not None, cost) for name, cost in costs.items()]


def report(requirements: list[Requirement]) -> str:
    """Return one line with everything that was found, and a line with the cost for everything that was not."""
    found = ", ".join(requirement.name for requirement in requirements if requirement.is_met)
    missing = [f"Not found: {each.name} ({each.cost})" for each in requirements if not each.is_met]
    return "\n".join([f"Found: {found}", *missing] if found else missing)
