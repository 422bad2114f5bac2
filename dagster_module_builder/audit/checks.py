"""The table of checks: each has a function that yields problems, and one that says why nothing is to check."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from dagster_module_builder.audit.audited_module import AuditedModule
from dagster_module_builder.audit.results import Problem

PAGE = "docs/reference/audit-checks.md"

Needs = Literal["nothing", "environment", "tests"]
FindProblems = Callable[[AuditedModule], Iterable[Problem]]
#: Returns why a module has nothing to check (``"no Dockerfile"``), or an empty string.
Lacks = Callable[[AuditedModule], str]


#: The categories of checks in the order of the report, by the file that has the checks.
CATEGORIES = {
    "code": "The code",
    "io_managers": "The code",
    "fragments": "What it gives to the workspace",
    "variables": "Variables and secrets",
    "secret_files": "Variables and secrets",
    "deployments": "Deployments",
    "versions": "Versions",
    "environment": "With an environment",
    "run": "The audit itself",
}


@dataclass(frozen=True)
class Always:
    """A check that applies to every module, and why."""

    reason: str

    def __call__(self, audited: AuditedModule) -> str:
        """Return an empty string: the check always applies."""
        del audited
        return ""


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        id: Its id in results, in the documentation and in ``pyproject.toml``.
        title: What holds if the check passes.
        reason: Why that matters.
        find_problems: Yields the problems.
        lacks: Returns why a module has nothing to check; the check is then skipped and not counted.
        needs: What the check needs; it is skipped without it.
        security: Whether it protects others from the module, which therefore cannot switch it off.
    """

    id: str
    title: str
    reason: str
    find_problems: FindProblems
    lacks: Lacks
    needs: Needs = "nothing"
    security: bool = False

    @property
    def category(self) -> str:
        """The heading that it is reported under."""
        return CATEGORIES[self.find_problems.__module__.rpartition(".")[2]]

    @property
    def docs(self) -> str:
        """Its section in the documentation."""
        return f"{PAGE}#{self.id}"


CHECKS: dict[str, Check] = {}


def check(
    identity: str, title: str, reason: str, lacks: Lacks, needs: Needs = "nothing", *, security: bool = False
) -> Callable[[FindProblems], FindProblems]:
    """Return a decorator that adds a function to the table.

    Args:
        identity: The check's id, which is also its heading in ``docs/reference/audit-checks.md``.
        title: What holds if the check passes.
        reason: Why that matters.
        lacks: Returns why a module has nothing to check.
        needs: What the check needs.
        security: Whether it protects others from the module.
    """

    def register(find_problems: FindProblems) -> FindProblems:
        CHECKS[identity] = Check(identity, title, reason, find_problems, lacks, needs, security)
        return find_problems

    return register
