"""Add requirements to a ``pyproject.toml`` without touching its other bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from packaging.requirements import InvalidRequirement, Requirement

from dagster_module_builder.modules.code_location import table
from dagster_module_builder.shared_files.formats import toml_text

_PROJECT = re.compile(r"^\[project\][ \t]*(?:#.*)?\r?$", re.MULTILINE)
_LIST = re.compile(r"^dependencies[ \t]*=[ \t]*\[", re.MULTILINE)


def lacking(text: str, wanted: Sequence[str]) -> list[str]:
    """Return the requirements that a ``pyproject.toml`` does not declare."""
    return not_among(table(_parsed(text), "project").get("dependencies") or [], wanted)


def not_among(declared: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Return the requirements whose names are not declared: ``["a>=1"], ["A", "b"]`` -> ``["b"]``."""
    names = {_name(str(requirement)) for requirement in declared}
    return [requirement for requirement in wanted if _name(requirement) not in names]


def _name(requirement: str) -> str:
    try:
        return re.sub(r"[-_.]+", "-", Requirement(requirement).name).lower()
    except InvalidRequirement:
        return requirement


def _parsed(text: str) -> dict[str, object]:
    try:
        data: dict[str, object] = toml_text.parsed(text)
    except ValueError:
        return {}
    return data


def with_requirements(text: str, wanted: Sequence[str]) -> str | None:
    """Append requirements to ``dependencies`` in ``[project]``; None if that cannot be done safely."""
    section, before = _PROJECT.search(text), _parsed(text)
    if section is None:
        return None
    opening = _LIST.search(text, section.end())
    if opening is None or re.search(r"^\[", text[section.end() : opening.start()], re.MULTILINE):
        candidates = _with_list(text, section.end(), wanted)
    else:
        candidates = _with_longer_list(text, opening.end(), wanted)
    # The text search can be wrong; accept a change only if parsing it gives the expected data.
    return next((changed for changed in candidates if _is_only_added(before, _parsed(changed), wanted)), None)


def _with_list(text: str, heading: int, wanted: Sequence[str]) -> Iterator[str]:
    """Yield the text with a list below the heading, for a table that has none."""
    newline = "\r\n" if "\r\n" in text else "\n"
    listed = "".join(f'    "{requirement}",{newline}' for requirement in wanted)
    yield text[:heading].rstrip("\r") + f"{newline}dependencies = [{newline}{listed}]" + text[heading:].lstrip("\r")


def _with_longer_list(text: str, opening: int, wanted: Sequence[str]) -> Iterator[str]:
    for closing in re.finditer(r"\]", text[opening:]):
        end = opening + closing.start()
        for comma in ("", ","):
            yield text[:opening] + longer(text[opening:end], wanted, comma) + text[end:]


def longer(inside: str, wanted: Sequence[str], comma: str) -> str:
    """Return the text inside a list with items appended, and ``comma`` after the formerly last item."""
    newline = "\r\n" if "\r\n" in inside else "\n"
    body = inside.rstrip()
    items = [f'"{requirement}"' for requirement in wanted]
    if "\n" not in inside:
        return f"{body}{comma}{' ' if body else ''}{', '.join(items)}"
    indent = next((match[1] for match in re.finditer(r"\n([ \t]+)\S", inside)), "    ")
    before_bracket = inside.rpartition("\n")[2]
    return f"{body}{comma}{newline}" + "".join(f"{indent}{item},{newline}" for item in items) + before_bracket


def _is_only_added(before: dict[str, object], after: dict[str, object], wanted: Sequence[str]) -> bool:
    old, new = (dict(table(side, "project")) for side in (before, after))
    listed, listed_now = old.pop("dependencies", []), new.pop("dependencies", [])
    rest = {**before, "project": old} == {**after, "project": new}
    return rest and isinstance(listed, list) and listed_now == [*listed, *wanted]
