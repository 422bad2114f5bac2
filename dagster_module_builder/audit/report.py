"""Format audits: for a terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dagster_module_builder.audit.checks import CATEGORIES
from dagster_module_builder.audit.results import Audit, Problem, Result

_MARKS = {"PASS": "✅ PASS", "WARN": "⚠️  WARN", "FAIL": "❌ FAIL", "SKIP": "⏩ SKIP", "OFF": "⏩ OFF"}
_RULE = 37


def text(audit: Audit, *, fancy: bool, program: str) -> str:
    """Return an audit as text.

    Args:
        audit: The audit.
        fancy: Whether to use symbols such as ✅.
        program: This program's name, as it was typed.
    """
    marks = _MARKS if fancy else {mark: mark for mark in _MARKS}
    page = [f"Audit Results for: {audit.name}", "=" * max(_RULE, len(audit.name) + 20)]
    page += [f"Shape: {audit.shape}"] if audit.shape else []
    for category, results in _by_category(audit):
        page += ["", category] if category else []
        page += [f"{marks[status]}: {words}" for status, words in _lines(results)]
        page += [f"{marks[mark]}: {words}" for mark, words in _skipped(results)]
    if audit.recommendations:
        page += ["", "Recommendations:", *(f"- {line}" for line in audit.recommendations)]
    page += ["", _overall(audit), *(f"To fix issues, run: {program} {command}" for command in audit.commands)]
    return "\n".join(page)


def _by_category(audit: Audit) -> Iterator[tuple[str, Sequence[Result]]]:
    """Yield each category with its results, in the order of the categories."""
    for category in dict.fromkeys([*CATEGORIES.values(), ""]):
        if results := [result for result in audit.results if result.category == category]:
            yield category, results


def _overall(audit: Audit) -> str:
    return f"Overall Status: {audit.overall} ({audit.passed}/{len(audit.counted)} checks passed)"


def lines(audit: Audit) -> Iterator[tuple[str, str]]:
    """Yield the status and text of each passed check and each problem, without skipped checks."""
    yield from _lines(audit.results)


def _lines(results: Sequence[Result]) -> Iterator[tuple[str, str]]:
    for result in results:
        if result.status == "PASS":
            yield "PASS", result.title
        elif result.off is None:
            yield from ((problem.status, _words(problem)) for problem in result.problems if problem.status != "SKIP")


def _words(problem: Problem) -> str:
    return f"{problem.message} ({problem.where})" if problem.where else problem.message


def _skipped(results: Sequence[Result]) -> Iterator[tuple[str, str]]:
    """Yield what was switched off, and what did not apply: the checks of each reason."""
    yield from (("OFF", f"{result.title} ({result.off})") for result in results if result.off is not None)
    reasons: dict[str, list[str]] = {}
    for result in results:
        if result.status == "SKIP" and result.off is None:
            reasons.setdefault(result.problems[0].message, []).append(result.check)
    yield from (("SKIP", f"{', '.join(checks)} ({why})") for why, checks in reasons.items())


def summary(audits: Sequence[Audit]) -> list[tuple[str, ...]]:
    """Return a row for each module: name, status, passed checks, warnings, failures."""
    return [_row(audit) for audit in audits]


def _row(audit: Audit) -> tuple[str, ...]:
    counts = f"{audit.passed}/{len(audit.counted)}", str(_count(audit, "WARN")), str(_count(audit, "FAIL"))
    return (audit.name, audit.overall, *counts)


def _count(audit: Audit, status: str) -> int:
    return sum(result.status == status for result in audit.results)


def markdown(audits: Sequence[Audit]) -> str:
    """Return audits as Markdown: a table of the modules if there are several, then each module's results."""
    parts = []
    if len(audits) > 1:
        rows = ["| " + " | ".join(row) + " |" for row in summary(audits)]
        parts.append("\n".join(["| module | status | passed | warnings | failures |", "|---|---|---|---|---|", *rows]))
    return "\n\n".join([*parts, *(_page(audit) for audit in audits)])


def _page(audit: Audit) -> str:
    rows = [
        f"| {'SKIP' if result.status == 'SKIP' else _MARKS[result.status]} | {_cell(result)} | `{result.check}` |"
        for result in audit.results
    ]
    fixes = audit.recommendations
    advice = ["", "Recommendations:", "", *(f"- {_escaped(fix)}" for fix in fixes)] if fixes else []
    head = [f"## {audit.name}", "", _overall(audit), "", "| result | check | id |", "|---|---|---|"]
    return "\n".join([*head, *rows, *advice])


def _cell(result: Result) -> str:
    if result.off is not None:
        return _escaped(f"{result.title} (switched off: {result.off})")
    return _escaped("; ".join(_words(problem) for problem in result.problems) or result.title)


def _escaped(text_: str) -> str:
    return " ".join(text_.replace("|", r"\|").split())
