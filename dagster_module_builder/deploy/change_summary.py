"""What a deployment would change, as lines for a terminal and as Markdown for a pull request. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_VERBS = ("added", "removed", "changed")
_SIGNS = {"added": "+", "removed": "-", "changed": "~"}
#: Files that are named; of more only the number is given.
_FILES = 8


def lines(change: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a release changes of the definitions and the packages: ``+ schedule nightly``.

    Args:
        change: A module's change, as ``preview`` returns it.
    """
    for sign, text in _entries(change):
        yield f"{sign} {text}"
    if reason := change.get("not_compared"):
        yield f"not compared: {reason}"


def _entries(change: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    every = {kind.rstrip("s"): each for kind, each in (change.get("definitions") or {}).items()}
    every |= {"package": change["packages"]} if change.get("packages") else {}
    for kind, each in every.items():
        for verb in ("added", "removed"):
            yield from ((_SIGNS[verb], f"{kind} {name}") for name in each[verb])
        for name, what in each["changed"].items():
            # Of packages only the version changes.
            pairs = what.items() if isinstance(what, Mapping) else [("", what)]
            said = ", ".join(f"{part} {_shown(old)} -> {_shown(new)}".strip() for part, (old, new) in pairs)
            yield _SIGNS["changed"], f"{kind} {name}: {said}"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(str, value)) + "]"
    return "none" if value is None or value == "" else str(value)


def first_lines(change: Mapping[str, Any] | None, most: int) -> list[str]:
    """Return the first lines of a change of definitions, and how many more there are.

    Args:
        change: The change by kind, as ``loading.compared`` returns it; None if it is not known.
        most: The most lines.
    """
    every = list(lines({"definitions": change}))
    more = [f"and {len(every) - most} more definitions"] if len(every) > most else []
    return [*every[:most], *more]


def markdown(name: str, results: Sequence[Mapping[str, Any]]) -> str:
    """Return what a deployment would change as Markdown.

    What comes from commits, files and definitions is in indented lines, which Markdown takes for code.

    Args:
        name: The deployment's name.
        results: The result of each host, as ``preview`` returns it.
    """
    return "\n".join([f"### What a deployment to {name} would change", *_text(results), ""])


def _text(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for result in results:
        if "error" in result:
            yield from ("", f"**{result['host']}** cannot be asked:", "", *_code(str(result["error"]).splitlines()))
        for module, change in result.get("modules", {}).items():
            before = change["from"] or "(none)"
            yield from ("", f"**{result['host']}**, {module}: {before} → {change['release']}")
            for title, found in _parts(change).items():
                if found:
                    yield from ("", f"{title}:", "", *_code(found))
        if result.get("diff"):
            yield from ("", "Files of the host:", "", *_code(result["diff"].splitlines()))


def _parts(change: Mapping[str, Any]) -> dict[str, list[str]]:
    return {
        "Definitions and packages": list(lines(change)) or ["no differences"],
        "Commits": list(change["commits"]),
        "Settings": [f"{_SIGNS[verb]} {name}" for verb in _VERBS for name in change["settings"][verb]],
        "Hooks": [f"{_SIGNS[verb]} {path}" for verb in _VERBS for path in change.get("hook_files", {}).get(verb, ())],
        "Files": [line for verb in _VERBS for line in _files(verb, change["files"][verb])],
    }


def _files(verb: str, paths: Sequence[str]) -> Iterator[str]:
    yield from (f"{_SIGNS[verb]} {path}" for path in paths[:_FILES])
    if len(paths) > _FILES:
        yield f"{_SIGNS[verb]} and {len(paths) - _FILES} more"


def _code(texts: Sequence[str]) -> Iterator[str]:
    yield from (f"    {''.join(letter for letter in text if letter.isprintable())}" for text in texts)
