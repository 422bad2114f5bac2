"""The table of checks: each is one function that yields what it found, and one that says when it has nothing to see."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from dagster_module_builder.audit.audited_module import AuditedModule
from dagster_module_builder.audit.results import Problem

PAGE = "docs/reference/audit-checks.md"

Needs = Literal["nothing", "environment", "tests"]
Look = Callable[[AuditedModule], Iterable[Problem]]
#: Returns why a module has nothing that the check could look at; an empty text where it has.
Lacks = Callable[[AuditedModule], str]


@dataclass(frozen=True)
class Always:
    """A check that every module is looked at by, and why."""

    reason: str

    def __call__(self, audited: AuditedModule) -> str:
        """Return an empty text: there is something to look at."""
        del audited
        return ""


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        id: What it is called in results and when it is switched off.
        title: What holds when it passes.
        reason: Why that matters.
        look: Yields what is not as it should be.
        lacks: Why a module has nothing to look at; such a check is skipped, and does not count.
        needs: What has to be made for it first; without it, it is skipped.
        security: Whether it guards others against the module, which cannot switch it off then.
    """

    id: str
    title: str
    reason: str
    look: Look
    lacks: Lacks
    needs: Needs = "nothing"
    security: bool = False

    @property
    def docs(self) -> str:
        """Its section in the documentation."""
        return f"{PAGE}#{self.id}"


CHECKS: dict[str, Check] = {}


def check(
    identity: str, title: str, reason: str, lacks: Lacks, needs: Needs = "nothing", *, security: bool = False
) -> Callable[[Look], Look]:
    """Put a function into the table.

    Args:
        identity: The check's id, also its heading in ``docs/reference/audit-checks.md``.
        title: What holds when it passes.
        reason: Why that matters.
        lacks: Why a module has nothing to look at.
        needs: What has to be made for it first.
        security: Whether it guards others against the module.
    """

    def enter(look: Look) -> Look:
        CHECKS[identity] = Check(identity, title, reason, look, lacks, needs, security)
        return look

    return enter
