"""The summary on the page of a pipeline's job: what was deployed where, with which commits and definitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dagster_module_builder.deploy.change_summary import first_lines
from dagster_module_builder.deploy.rollout import HostOutcome

#: Names the file for a job's Markdown (https://docs.github.com/en/actions/reference/workflows-and-actions/variables).
VARIABLE = "GITHUB_STEP_SUMMARY"
#: The most definitions that are named: a page holds 1 MiB.
_DEFINITIONS = 500


def summary(name: str, outcomes: Sequence[HostOutcome]) -> str:
    """Return Markdown: a table of the hosts, the commits that came with the change, and the definitions that changed.

    Args:
        name: The deployment's name.
        outcomes: The result of each host.
    """
    rows = [row for outcome in outcomes for row in _rows(outcome)]
    commits = {module: lines for outcome in outcomes for module, lines in outcome.commits.items() if lines}
    changes = [line for module, lines in commits.items() for line in _changes(f"Commits of {module}", lines)]
    defined = {module: each for outcome in outcomes for module, each in outcome.definitions.items() if each is not None}
    for module, each in defined.items():
        changes += _changes(f"Definitions of {module}", first_lines(each, _DEFINITIONS) or ["no differences"])
    return "\n".join([f"### {name}", "", "| host | module | before | now |", "|---|---|---|---|", *rows, *changes, ""])


def _rows(outcome: HostOutcome) -> Iterator[str]:
    if not outcome.stands:
        yield f"| {outcome.host} | | | not changed |"
        return
    for module, release in outcome.releases.items():
        yield f"| {outcome.host} | {module} | {outcome.before.get(module) or '(none)'} | {release} |"


def _changes(title: str, lines: Sequence[str]) -> Iterator[str]:
    # Indented lines are code, so that a commit's subject is never read as Markdown or HTML.
    yield from ("", f"{title}:", "")
    yield from (f"    {''.join(letter for letter in line if letter.isprintable())}" for line in lines)


def has_page(environ: Mapping[str, str]) -> bool:
    """Tell whether a job runs this process whose platform shows a summary of it."""
    return bool(environ.get(VARIABLE))


def write_summary(name: str, outcomes: Sequence[HostOutcome], environ: Mapping[str, str]) -> None:
    """Add the summary to the page of the job that runs this process, if its platform has one."""
    add_to_page(summary(name, outcomes), environ)


def add_to_page(text: str, environ: Mapping[str, str]) -> None:
    """Add Markdown to the page of the job that runs this process, if its platform has one."""
    if path := environ.get(VARIABLE):
        with Path(path).open("a", encoding="utf-8") as page:
            page.write(text)
