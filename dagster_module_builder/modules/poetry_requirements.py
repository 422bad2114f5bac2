"""The requirements in ``[tool.poetry.dependencies]``, as every other tool writes them (PEP 508)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dagster_module_builder.modules.code_location import table

_FOREIGN = ("git", "path", "url", "file")
_RELEASE = re.compile(r"\d+(?:\.\d+)*")


def is_poetry(data: Mapping[str, Any]) -> bool:
    """Tell whether a parsed ``pyproject.toml`` states its requirements in Poetry's own table."""
    project = table(data, "project")
    is_elsewhere = "dependencies" not in project and (not project or "dependencies" in project.get("dynamic", ()))
    return is_elsewhere and bool(table(data, "tool", "poetry", "dependencies"))


def poetry_requirements(data: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the requirements of a Poetry project, and what is left out, each with the reason.

    Args:
        data: The parsed ``pyproject.toml``.
    """
    asked, left_out = [], []
    for name, wanted in table(data, "tool", "poetry", "dependencies").items():
        if name.lower() == "python":
            continue
        for entry in wanted if isinstance(wanted, list) else [wanted]:
            details: Mapping[str, Any] = entry if isinstance(entry, dict) else {"version": entry}
            requirement, reason = _requirement(name, details)
            asked += [requirement] if requirement else []
            left_out += [reason] if reason else []
    return asked, left_out


def poetry_python(data: Mapping[str, Any]) -> str | None:
    """Return the versions of Python that a Poetry project accepts (``"^3.10"`` -> ``">=3.10,<4"``)."""
    wanted = table(data, "tool", "poetry", "dependencies").get("python")
    return specifier(wanted) if isinstance(wanted, str) else None


def _requirement(name: str, details: Mapping[str, Any]) -> tuple[str, str]:
    if details.get("optional"):
        return "", ""
    if source := next((key for key in _FOREIGN if key in details), None):
        return "", f"{name} comes from a {source}, which is not asked"
    version = specifier(str(details.get("version", "*")))
    if version is None:
        return "", f"the version of {name} cannot be read: {details.get('version')}"
    extras = details.get("extras")
    shown = f"[{','.join(map(str, extras))}]" if isinstance(extras, list) and extras else ""
    markers = " and ".join(f"({marker})" for marker in _markers(details))
    return f"{name}{shown}{version}" + (f" ; {markers}" if markers else ""), ""


def _markers(details: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(markers := details.get("markers"), str):
        yield markers
    versions = specifier(str(details["python"])) if "python" in details else ""
    for clause in (versions or "").split(","):
        if match := re.fullmatch(r"([<>=!~]+)(.+)", clause):
            yield f"python_version {match[1]} '{match[2]}'"


def specifier(wanted: str) -> str | None:
    """Return Poetry's form of versions as PEP 440's: ``"^1.5"`` -> ``">=1.5,<2"``; None if it has no such form.

    Source: https://python-poetry.org/docs/dependency-specification/
    """
    if "|" in wanted:
        return None
    clauses = [_clause(clause) for clause in re.split(r"\s*,\s*|\s+(?=[<>=!~^])", wanted.strip()) if clause]
    return None if None in clauses else ",".join(clause for clause in map(str, clauses) if clause)


def _clause(clause: str) -> str | None:
    clause = clause.replace(" ", "")
    if clause == "*":
        return ""
    kind = re.match(r"\^|~(?!=)|[<>=!~]+", clause)
    version = clause[kind.end() :] if kind else clause
    if kind and kind[0] in {"^", "~"}:
        return _range(version, caret=kind[0] == "^")
    if not re.match(r"\d", version):
        return None
    return f"{kind[0]}{version}" if kind and kind[0] != "=" else f"=={version}"


def _range(version: str, *, caret: bool) -> str | None:
    """Return the range up to the next version that may break: ``1.5`` -> ``>=1.5,<2``, ``~1.5`` -> ``>=1.5,<1.6``."""
    release = _RELEASE.match(version)
    if release is None:
        return None
    parts = [int(part) for part in release[0].split(".")]
    first = (
        next((place for place, part in enumerate(parts) if part), len(parts) - 1) if caret else min(1, len(parts) - 1)
    )
    return f">={version},<{'.'.join(map(str, [*parts[:first], parts[first] + 1]))}"
