"""Format audits: for a terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dagster_module_builder.audit.results import Audit, Problem, Result

_MARKS = {"PASS": "✅ PASS", "WARN": "⚠️  WARN", "FAIL": "❌ FAIL"}
_RULE = 37


def text(audit: Audit, *, fancy: bool, program: str) -> str:
    """Return an audit as text.

    Args:
        audit: The audit.
        fancy: Whether to use symbols such as ✅.
        program: This program's name, as it was typed.
    """
    marks = _MARKS if fancy else {status: status for status in _MARKS}
    page = [f"Audit Results for: {audit.name}", "=" * max(_RULE, len(audit.name) + 20)]
    page += [f"{marks[status]}: {words}" for status, words in lines(audit)]
    page += _skipped(audit)
    if advice := recommendations(audit):
        page += ["", "Recommendations:", *(f"- {line}" for line in advice)]
    page += ["", _overall(audit)]
    if audit.helped_by_upgrade:
        page.append(f"To fix issues, run: {program} upgrade {audit.name}")
    return "\n".join(page)


def _overall(audit: Audit) -> str:
    return f"Overall Status: {audit.overall} ({audit.passed}/{len(audit.counted)} checks passed)"


def lines(audit: Audit) -> Iterator[tuple[str, str]]:
    """Yield the status and text of each passed check and each problem, without skipped checks."""
    for result in audit.results:
        if result.status == "PASS":
            yield "PASS", result.title
        elif result.off is None:
            yield from ((problem.status, _words(problem)) for problem in result.problems if problem.status != "SKIP")


def _words(problem: Problem) -> str:
    return f"{problem.message} ({problem.where})" if problem.where else problem.message


def _skipped(audit: Audit) -> list[str]:
    off = [f"OFF:  {result.title} ({result.off})" for result in audit.results if result.off is not None]
    skipped: dict[str, list[str]] = {}
    for result in audit.results:
        if result.status == "SKIP" and result.off is None:
            skipped.setdefault(result.problems[0].message, []).append(result.check)
    return [*off, *(f"SKIP: {', '.join(checks)} ({why})" for why, checks in skipped.items())]


def recommendations(audit: Audit) -> list[str]:
    """Return each fix once, with the files that need it; fixes of failures come first."""
    where: dict[str, list[str]] = {}
    for status in ("FAIL", "WARN"):
        for result in audit.results:
            for problem in result.problems if result.off is None else ():
                if problem.status == status and problem.fix:
                    where.setdefault(problem.fix, []).append(problem.where)
    return [f"{fix}{_at(places)}" for fix, places in where.items()]


def _at(places: Sequence[str]) -> str:
    named = list(dict.fromkeys(place for place in places if place))
    more = f" and {len(named) - 3} more" if named[3:] else ""
    return f" ({', '.join(named[:3])}{more})" if named else ""


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
    rows = [f"| {_MARKS.get(result.status, 'SKIP')} | {_cell(result)} | `{result.check}` |" for result in audit.results]
    fixes = recommendations(audit)
    advice = ["", "Recommendations:", "", *(f"- {_escaped(fix)}" for fix in fixes)] if fixes else []
    head = [f"## {audit.name}", "", _overall(audit), "", "| result | check | id |", "|---|---|---|"]
    return "\n".join([*head, *rows, *advice])


def _cell(result: Result) -> str:
    if result.off is not None:
        return _escaped(f"{result.title} (switched off: {result.off})")
    return _escaped("; ".join(_words(problem) for problem in result.problems) or result.title)


def _escaped(text_: str) -> str:
    return " ".join(text_.replace("|", r"\|").split())
