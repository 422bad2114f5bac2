"""The table of checks: each is one function that yields what it found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from dagster_module_builder.audit.results import Problem
from dagster_module_builder.audit.subject import Subject

PAGE = "docs/audit.md"

Needs = Literal["nothing", "environment", "tests"]
Look = Callable[[Subject], Iterable[Problem]]


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        id: What it is called in results and when it is switched off.
        title: What holds when it passes.
        reason: Why that matters.
        look: Yields what is not as it should be.
        needs: What has to be made for it first; without it, it is skipped.
    """

    id: str
    title: str
    reason: str
    look: Look
    needs: Needs = "nothing"

    @property
    def docs(self) -> str:
        """Its section in the documentation."""
        return f"{PAGE}#{self.id}"


TABLE: dict[str, Check] = {}


def check(identity: str, title: str, reason: str, needs: Needs = "nothing") -> Callable[[Look], Look]:
    """Put a function into the table.

    Args:
        identity: The check's id, also its heading in ``docs/audit.md``.
        title: What holds when it passes.
        reason: Why that matters.
        needs: What has to be made for it first.
    """

    def enter(look: Look) -> Look:
        TABLE[identity] = Check(identity, title, reason, look, needs)
        return look

    return enter
