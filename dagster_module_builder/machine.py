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

    def __str__(self) -> str:
        return f"{self.name}: found" if self.found else f"{self.name}: not found ({self.cost})"


def preflight(programs: dict[str, str] = PROGRAMS) -> list[Finding]:
    """Look for Python and ``programs`` (name to cost) on this machine."""
    version = ".".join(map(str, sys.version_info[:3]))
    wanted = ".".join(map(str, OLDEST_PYTHON))
    python = Finding(f"Python {version}", sys.version_info >= OLDEST_PYTHON, f"{wanted} or newer is needed")
    return [python, *(Finding(name, shutil.which(name) is not None, cost) for name, cost in programs.items())]
