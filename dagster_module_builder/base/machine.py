"""What this machine has of what modules need, and what a lack of it costs.

Standard library only: the template's hooks import this file where Cookiecutter was installed alone.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass

OLDEST_PYTHON = (3, 10)

#: Program, and what cannot be done without it.
PROGRAMS = {
    "git": "no version control, no git deployments",
    "docker": "no containers: workspace.dev runs the workspace without them",
    "rsync": "no rsync deployments",
    "ssh": "no deployments",
}


@dataclass(frozen=True)
class Finding:
    """One thing looked for on this machine; ``cost`` says what a lack of it means."""

    name: str
    found: bool
    cost: str


def preflight() -> list[Finding]:
    """Look for Python and the programs that modules and their deployments need."""
    version = ".".join(map(str, sys.version_info[:3]))
    wanted = ".".join(map(str, OLDEST_PYTHON))
    python = Finding(f"Python {version}", sys.version_info >= OLDEST_PYTHON, f"{wanted} or newer is needed")
    return [python, *programs(PROGRAMS)]


def programs(costs: dict[str, str]) -> list[Finding]:
    """Look for programs, each given with what a lack of it costs."""
    return [Finding(name, shutil.which(name) is not None, cost) for name, cost in costs.items()]


def report(findings: list[Finding]) -> str:
    """Say in one line what this machine has, and in one each what it lacks and what that costs."""
    found = ", ".join(finding.name for finding in findings if finding.found)
    lines = [f"Found here: {found}"] if found else []
    return "\n".join([*lines, *(f"Not found here: {one.name} ({one.cost})" for one in findings if not one.found)])
