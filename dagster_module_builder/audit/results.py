"""What an audit says: a result for each check, and what they amount to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Status = Literal["PASS", "WARN", "FAIL", "SKIP"]


@dataclass(frozen=True)
class Problem:
    """One thing that a check found.

    Attributes:
        message: What was found, for a line of its own.
        fix: What to do about it.
        where: The ``path:line``, or the path, in the module.
        status: ``FAIL`` breaks something, ``WARN`` may; ``SKIP`` says why the check could not be made.
        by_upgrade: Whether ``upgrade`` takes it away.
    """

    message: str
    fix: str = ""
    where: str = ""
    status: Status = "FAIL"
    by_upgrade: bool = False


@dataclass(frozen=True)
class Result:
    """The outcome of one check.

    Attributes:
        check: The check's id.
        title: What it looks for.
        docs: Its section in the documentation.
        problems: What it found.
        off: Why it is switched off, where it is.
    """

    check: str
    title: str
    docs: str
    problems: tuple[Problem, ...] = ()
    off: str | None = None

    @property
    def status(self) -> Status:
        """The worst of what was found."""
        found = {problem.status for problem in self.problems}
        worst: Status = "FAIL" if "FAIL" in found else "WARN" if "WARN" in found else "SKIP" if found else "PASS"
        return "SKIP" if self.off is not None else worst

    def to_json(self) -> dict[str, Any]:
        """Return it as data."""
        problems = [
            {
                "status": one.status,
                "message": one.message,
                "fix": one.fix,
                "where": one.where,
                "by_upgrade": one.by_upgrade,
            }
            for one in self.problems
        ]
        return {
            "id": self.check,
            "title": self.title,
            "status": self.status,
            "docs": self.docs,
            "off": self.off,
            "problems": problems,
        }


@dataclass(frozen=True)
class Audit:
    """All results for one module."""

    module: Path
    results: tuple[Result, ...]

    @property
    def name(self) -> str:
        """The module's name."""
        return self.module.name

    @property
    def counted(self) -> Sequence[Result]:
        """The checks that were made."""
        return [result for result in self.results if result.status != "SKIP"]

    @property
    def passed(self) -> int:
        """How many checks passed."""
        return sum(result.status == "PASS" for result in self.results)

    @property
    def failed(self) -> bool:
        """Whether a check failed, or none was made."""
        return not self.counted or any(result.status == "FAIL" for result in self.results)

    @property
    def helped_by_upgrade(self) -> bool:
        """Whether ``upgrade`` takes away something that was found."""
        return any(problem.by_upgrade for result in self.results if result.off is None for problem in result.problems)

    @property
    def overall(self) -> str:
        """What the results amount to."""
        if not self.counted:
            return "NOTHING CHECKED"
        if self.failed:
            return "NEEDS WORK"
        return "EXCELLENT" if self.passed == len(self.counted) else "GOOD"

    def to_json(self) -> dict[str, Any]:
        """Return it as data."""
        return {
            "module": self.name,
            "path": str(self.module),
            "status": self.overall,
            "passed": self.passed,
            "checks": len(self.counted),
            "results": [result.to_json() for result in self.results],
        }
