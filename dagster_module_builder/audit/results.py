"""Results of an audit: one for each check, and the overall status."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Status = Literal["PASS", "WARN", "FAIL", "SKIP"]


@dataclass(frozen=True)
class Problem:
    """One problem that a check found.

    Attributes:
        message: The problem, in one line.
        fix: How to fix it.
        where: The ``path:line``, or the path, in the module.
        status: ``FAIL`` breaks something, ``WARN`` may; ``SKIP`` says why the check was skipped.
        by_upgrade: Whether ``upgrade`` fixes it.
        command: The command that fixes it, without the program's name, if there is one.
    """

    message: str
    fix: str = ""
    where: str = ""
    status: Status = "FAIL"
    by_upgrade: bool = False
    command: str = ""


@dataclass(frozen=True)
class Result:
    """The outcome of one check.

    Attributes:
        check: The check's id.
        title: What holds if the check passes.
        docs: Its section in the documentation.
        problems: The problems found.
        off: Why the check is switched off; None if it is on.
        category: The heading that it is reported under.
    """

    check: str
    title: str
    docs: str
    problems: tuple[Problem, ...] = ()
    off: str | None = None
    category: str = ""

    @property
    def status(self) -> Status:
        """The worst status of the problems, ``PASS`` without problems, ``SKIP`` if switched off."""
        statuses = {problem.status for problem in self.problems}
        worst: Status = (
            "FAIL" if "FAIL" in statuses else "WARN" if "WARN" in statuses else "SKIP" if statuses else "PASS"
        )
        return "SKIP" if self.off is not None else worst

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        problems = [
            {
                "status": problem.status,
                "message": problem.message,
                "fix": problem.fix,
                "where": problem.where,
                "by_upgrade": problem.by_upgrade,
                "command": problem.command,
            }
            for problem in self.problems
        ]
        return {
            "id": self.check,
            "title": self.title,
            "category": self.category,
            "status": self.status,
            "docs": self.docs,
            "off": self.off,
            "problems": problems,
        }


@dataclass(frozen=True)
class Audit:
    """All results for one module.

    Attributes:
        module: Its folder.
        results: The results, in the order of the checks.
        shape: What kind of project it is, if the template did not make it.
        advice: What is worth doing next and does not count.
    """

    module: Path
    results: tuple[Result, ...]
    shape: str = ""
    advice: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The module's name."""
        return self.module.name

    @property
    def counted(self) -> Sequence[Result]:
        """The results of checks that were not skipped."""
        return [result for result in self.results if result.status != "SKIP"]

    @property
    def passed(self) -> int:
        """How many checks passed."""
        return sum(result.status == "PASS" for result in self.results)

    @property
    def failed(self) -> bool:
        """Whether a check failed, or all checks were skipped."""
        return not self.counted or any(result.status == "FAIL" for result in self.results)

    @property
    def helped_by_upgrade(self) -> bool:
        """Whether ``upgrade`` fixes one of the problems."""
        return any(problem.by_upgrade for problem in self._problems)

    @property
    def _problems(self) -> Sequence[Problem]:
        """The problems of all checks that are on, failures first."""
        problems = [problem for result in self.results if result.off is None for problem in result.problems]
        return [problem for status in ("FAIL", "WARN") for problem in problems if problem.status == status]

    @property
    def commands(self) -> Sequence[str]:
        """The commands that fix problems, without the program's name; ``upgrade`` only where it helps."""
        upgrade = [f"upgrade {shlex.quote(self.name)}"] * self.helped_by_upgrade
        return list(dict.fromkeys([*upgrade, *(problem.command for problem in self._problems if problem.command)]))

    @property
    def recommendations(self) -> Sequence[str]:
        """Each fix once, with the files that need it, fixes of failures first; then what does not count."""
        where: dict[str, list[str]] = {}
        for problem in self._problems:
            if problem.fix:
                where.setdefault(problem.fix, []).append(problem.where)
        return [*(f"{fix}{_at(places)}" for fix, places in where.items()), *self.advice]

    @property
    def overall(self) -> str:
        """The overall status: ``EXCELLENT``, ``GOOD``, ``NEEDS WORK`` or ``NOTHING CHECKED``."""
        if not self.counted:
            return "NOTHING CHECKED"
        if self.failed:
            return "NEEDS WORK"
        return "EXCELLENT" if self.passed == len(self.counted) else "GOOD"

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "module": self.name,
            "path": str(self.module),
            "shape": self.shape,
            "status": self.overall,
            "passed": self.passed,
            "checks": len(self.counted),
            "recommendations": list(self.recommendations),
            "commands": list(self.commands),
            "results": [result.to_json() for result in self.results],
        }


def _at(places: Sequence[str]) -> str:
    named = list(dict.fromkeys(place for place in places if place))
    more = f" and {len(named) - 3} more" if named[3:] else ""
    return f" ({', '.join(named[:3])}{more})" if named else ""
