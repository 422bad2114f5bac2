"""A preview as Markdown, for a pull request. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

#: Commits and files that are named; of more only the number is given.
_MOST = 20


def made(preview: Mapping[str, Any]) -> str:
    """Return where a preview is, how to reach it, and what its branch changes.

    Args:
        preview: The preview, as ``branch_previews.make`` returns it.
    """
    where = preview["address"] or preview["url"]
    until = f"until the branch is gone or it is {str(preview['expires'])[:10]}"
    facts = f"Commit {str(preview['commit'])[:8]}, on {preview['host']}; {until}. Schedules do not run there."
    lines = [f"### Preview in Dagster: {where}", "", facts]
    if not preview["address"]:
        lines += ["", "It is reached by a tunnel:", "", *_code([preview["tunnel"]])]
    return "\n".join([*lines, *_changes(preview["changes"]), *_notes(preview["notes"]), ""])


def failed(reason: str) -> str:
    """Return that there is no preview of the newest commit, and why.

    Args:
        reason: The message of the failure.
    """
    return "\n".join(["### No preview in Dagster", "", *_code(reason.splitlines()[:50]), ""])


def removed() -> str:
    """Return that there is no preview any more."""
    return "### Preview in Dagster: removed\n"


def _changes(changes: Mapping[str, Any]) -> Iterator[str]:
    for module, change in changes.items():
        for title in ("commits", "files"):
            if change[title]:
                yield from ("", f"{title.capitalize()} of {module}:", "", *_code(_some(change[title])))


def _notes(notes: Sequence[str]) -> Iterator[str]:
    if notes:
        yield from ("", "Notes:", "", *_code(notes))


def _some(texts: Sequence[str]) -> list[str]:
    return [*texts[:_MOST], *([f"and {len(texts) - _MOST} more"] if len(texts) > _MOST else [])]


def _code(texts: Sequence[str]) -> Iterator[str]:
    """Yield indented lines, which Markdown takes for code: a commit's subject may be any text."""
    for text in texts:
        yield from (f"    {''.join(letter for letter in line if letter.isprintable())}" for line in text.split("\n"))
