"""Requirements as a project's files state them, each with its line: requirement files, ``pyproject.toml``, locks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from dagster_module_builder.compose.stack import Reader
from dagster_module_builder.modules.code_location import table
from dagster_module_builder.modules.legacy_requirements import SETUP_CFG, SETUP_PY, old_requirements
from dagster_module_builder.shared_files.formats import toml_text

LOCKS = ("uv.lock", "poetry.lock", "pdm.lock")
_OPTION = re.compile(r"(-r|--requirement|-c|--constraint)[=\s]\s*(\S+)$")
_DEEPEST = 8


@dataclass(frozen=True)
class Stated:
    """A requirement that a file states.

    Attributes:
        requirement: The requirement.
        where: Its place (``path:line``).
        installs: Whether it is installed, not only limited to a version.
    """

    requirement: Requirement
    where: str
    installs: bool = True

    @property
    def name(self) -> str:
        """The package's normalized name."""
        return canonicalize_name(self.requirement.name)

    @property
    def is_dagsters(self) -> bool:
        """Whether it is Dagster, or one of its libraries."""
        return self.name.startswith(("dagster", "dagit"))

    @property
    def version(self) -> str | None:
        """The version that it is pinned to; None if it is not."""
        exact = [one.version for one in self.requirement.specifier if one.operator in {"==", "==="}]
        return exact[0] if exact and not exact[0].endswith("*") else None

    @property
    def constraint(self) -> str:
        """The requirement as a constraint: without extras."""
        marker = f" ; {self.requirement.marker}" if self.requirement.marker else ""
        return f"{self.name}{self.requirement.specifier}{marker}"


def stated(text: str, where: str, *, installs: bool = True) -> Iterator[Stated]:
    """Yield a requirement, unless it comes from elsewhere than an index."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return
    if not requirement.url:
        yield Stated(requirement, where, installs)


def of_lines(path: Path, read: Reader, *, installs: bool = True, depth: int = 0) -> Iterator[Stated]:
    """Yield what a file of requirements and the files that it includes state."""
    if path.name == "pyproject.toml":
        yield from of_project(path, read)
        return
    for number, line in enumerate(_text(path, read).splitlines(), 1):
        text = re.sub(r"(^|\s)#.*", "", line).strip().removesuffix("\\").partition(" --")[0].strip()
        if option := _OPTION.match(text):
            if depth < _DEEPEST:
                inner = installs and not option[1].startswith(("-c", "--c"))
                yield from of_lines(path.parent / option[2], read, installs=inner, depth=depth + 1)
        else:
            yield from stated(text, f"{path}:{number}", installs=installs)


def of_project(path: Path, read: Reader) -> Iterator[Stated]:
    """Yield what a ``pyproject.toml``, or the ``setup.py`` and ``setup.cfg`` beside it, states."""
    listed = table(_toml(path, read), "project").get("dependencies")
    if not isinstance(listed, list):
        files = [path.with_name(name) for name in (SETUP_PY, SETUP_CFG)]
        listed = old_requirements(*(read(file) or b"" for file in files)) or []
        path = next((file for file in files if read(file)), path)
    text = _text(path, read)
    for requirement in map(str, listed):
        yield from stated(requirement, f"{path}:{_line(text, requirement)}")


def of_lock(path: Path, read: Reader) -> Iterator[Stated]:
    """Yield the versions that a lock has of the packages that its project needs, without those for development."""
    packages = _toml(path, read).get("package")
    known = [one for one in packages if isinstance(one, dict)] if isinstance(packages, list) else []
    versions: dict[str, list[Mapping[str, Any]]] = {}
    for package in known:
        versions.setdefault(canonicalize_name(str(package.get("name"))), []).append(package)
    text = _text(path, read)
    for name in _needed(_roots(path, versions, read), versions):
        if len(versions[name]) == 1 and (version := versions[name][0].get("version")):
            line = _line(text, f'name = "{versions[name][0]["name"]}"')
            yield from stated(f"{name}=={version}", f"{path}:{line}")


def _roots(path: Path, versions: Mapping[str, Sequence[Mapping[str, Any]]], read: Reader) -> list[str]:
    project = _toml(path.with_name("pyproject.toml"), read)
    of_poetry = table(project, "tool", "poetry", "dependencies")
    named: list[str] = [canonicalize_name(str(name)) for name in of_poetry]
    named += [one.name for one in of_project(path.with_name("pyproject.toml"), read)]
    return [*named, *(name for name in versions if name.startswith(("dagster", "dagit")))]


def _needed(roots: Sequence[str], versions: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Return the packages of a lock that the roots need."""
    left, needed = list(roots), dict[str, None]()
    while left:
        name = left.pop()
        if name in needed or name not in versions:
            continue
        needed[name] = None
        left += (wanted for package in versions[name] for wanted in _dependencies(package))
    return list(needed)


def _dependencies(package: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names that a package of a lock depends on: as uv, Poetry or PDM writes them."""
    listed = package.get("dependencies")
    for entry in listed if isinstance(listed, (list, dict)) else ():
        name = entry.get("name") if isinstance(entry, dict) else re.split(r"[^\w.-]", str(entry))[0]
        yield canonicalize_name(str(name))


def _toml(path: Path, read: Reader) -> Mapping[str, Any]:
    try:
        return toml_text.parsed(read(path) or b"")
    except ValueError:
        return {}


def _text(path: Path, read: Reader) -> str:
    return (read(path) or b"").decode("utf-8", "replace")


def _line(text: str, words: str) -> int:
    """Return the line that has these words, counted from 1; the first line if none has them."""
    at = text.find(words)
    return text.count("\n", 0, max(at, 0)) + 1
