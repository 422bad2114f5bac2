"""One thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Diagnosis:
    """What was found in one place.

    Attributes:
        area: What was looked at: ``machine``, ``workspace``, ``docker``, ``ports``, ``disk``, ``modules``,
            ``deployments``.
        state: A problem keeps something from working, a warning may.
        text: What was found.
        cure: What to do, as a command of this program or in words; empty if nothing needs to be done.
    """

    area: str
    state: State
    text: str
    cure: str = ""


def ok(area: str, text: str) -> Diagnosis:
    """Return that something is in order."""
    return Diagnosis(area, "ok", text)


def warning(area: str, text: str, cure: str) -> Diagnosis:
    """Return what may keep something from working."""
    return Diagnosis(area, "warning", text, cure)


def problem(area: str, text: str, cure: str) -> Diagnosis:
    """Return what keeps something from working."""
    return Diagnosis(area, "problem", text, cure)
