"""A module's requirements, read from its files alone: nothing is built, and no server that it names is asked.

uv would build a project whose metadata is dynamic, which runs the project's own build backend, and would ask the
indexes and repositories that it names. So uv never sees a module: it gets this statement, which names what it lacks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.modules.code_location import pyproject, table
from dagster_module_builder.modules.legacy_requirements import SETUP_PY, is_old, old_requirements_of
from dagster_module_builder.modules.poetry_requirements import is_poetry, poetry_python, poetry_requirements
from dagster_module_builder.shared_files.formats import toml_text
from dagster_module_builder.transactions import module_files

#: The user and the password in an address.
_USER_INFO = re.compile(r"//[^/@\s]*@")
#: What a package may be called (PEP 508).
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
#: Keys of ``tool.uv`` that name servers beside the configured one.
_INDEXES = ("index-url", "extra-index-url", "find-links")


@dataclass(frozen=True)
class Statement:
    """What one module requires.

    Attributes:
        name: Its project's name.
        python: The versions of Python it accepts (">=3.10"); None if it does not say.
        requirements: What it requires from the configured index.
        left_out: Its other requirements and the servers that it names, each with the reason why it is ignored.
        complete: Whether all of that is in its ``pyproject.toml``, ``setup.py`` and ``setup.cfg``.
    """

    name: str
    python: str | None
    requirements: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    complete: bool = True


def statement_of(module: Path, root: Path | None = None) -> Statement:
    """Read a module's requirements, with those of packages that it takes from folders below ``root``.

    Args:
        module: Its folder.
        root: The workspace's root; None to look at no other folder.

    Raises:
        ToolError: Its files do not name a project, or ``setup.py`` computes the requirements.
        NotPlainError: One of its files cannot be read safely.
    """
    if is_old(module):
        listed = old_requirements_of(module)
        if listed is None:
            raise ToolError(f"{module / SETUP_PY} computes its requirements. List them in install_requires=[…].")
        return Statement(ModuleNames(module.name).snake, None, tuple(listed))
    if is_poetry(data := pyproject(module)):
        asked, unasked = poetry_requirements(data)
        name = table(data, "project").get("name") or table(data, "tool", "poetry").get("name")
        shown = str(name) if _NAME.fullmatch(str(name)) else ModuleNames(module.name).snake
        return Statement(shown, poetry_python(data), tuple(asked), tuple(unasked))
    project, uv = _tables(module)
    stated = _Stated(module, project, uv, root)
    python = project.get("requires-python")
    return Statement(
        project["name"], python if isinstance(python, str) else None, *stated.sorted(), not stated.dynamic and not uv
    )


def _tables(module: Path) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    path = module / "pyproject.toml"
    try:
        data = toml_text.parsed(module_files.read(module, path) or b"")
        if not _NAME.fullmatch(data["project"]["name"]):
            raise ValueError("a package cannot have this name")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ToolError(f"{path} does not name its project: {error}") from error
    return {**data["project"], "setuptools": table(data, "tool", "setuptools", "dynamic")}, table(data, "tool", "uv")


@dataclass(frozen=True)
class _Stated:
    module: Path
    project: Mapping[str, Any]
    uv: Mapping[str, Any]
    root: Path | None = None

    @property
    def dynamic(self) -> bool:
        """Whether the requirements are in another file."""
        named = self.project.get("dynamic")
        return isinstance(named, list) and "dependencies" in named

    def sorted(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the requirements, and what is left out."""
        asked, left_out = [], list(self._indexes())
        sources = table(self.uv, "sources")
        kept = {_normalized(name): source for name, source in sources.items()}
        for text in self._listed(left_out):
            try:
                wanted = Requirement(text)
            except InvalidRequirement:
                left_out.append(f"{_shown(text)} is not a requirement that can be read")
                continue
            place = wanted.url or _foreign(kept.get(_normalized(wanted.name)))
            if place:
                left_out.append(f"{wanted.name} comes from {_shown(place)}, which is not asked")
            elif _normalized(wanted.name) not in kept:
                asked.append(str(wanted))
            elif folder := self._folder(kept[_normalized(wanted.name)]):
                inner = statement_of(folder)
                asked += inner.requirements
                left_out += inner.left_out
        return tuple(asked), tuple(left_out)

    def _folder(self, source: object) -> Path | None:
        """Return the project in the workspace that a source names; None if it names another place."""
        named = source.get("path") if isinstance(source, dict) else None
        if not isinstance(named, str) or self.root is None:
            return None
        folder = (self.module / named).resolve()
        is_ours = folder.is_relative_to(self.root.resolve()) and folder != self.module.resolve()
        return folder if is_ours and (folder / "pyproject.toml").is_file() else None

    def _indexes(self) -> Iterator[str]:
        indexes = self.uv.get("index")
        named = [index.get("url") for index in indexes if isinstance(index, dict)] if isinstance(indexes, list) else []
        for key in _INDEXES:
            value = self.uv.get(key)
            named += value if isinstance(value, list) else [value]
        yield from (f"its index {_shown(index)} is not asked" for index in named if isinstance(index, str))

    def _listed(self, left_out: list[str]) -> Iterator[str]:
        if not self.dynamic:
            listed = self.project.get("dependencies", [])
            yield from map(str, listed if isinstance(listed, list) else [])
            return
        stated = self.project["setuptools"].get("dependencies")
        files = stated.get("file") if isinstance(stated, dict) else None
        if files:
            for name in [files] if isinstance(files, str) else files:
                yield from self._lines(str(name), left_out)
        elif (listed := old_requirements_of(self.module)) and not stated:
            yield from listed
        else:
            left_out.append("its requirements are computed at build time, and nothing is built here")

    def _lines(self, name: str, left_out: list[str]) -> Iterator[str]:
        text = module_files.text(self.module, self.module / name) or ""
        for line in (re.sub(r"(^|\s)#.*", "", raw).strip() for raw in text.splitlines()):
            if line.startswith("-"):
                left_out.append(f"{name}: '{_shown(line)}' is not followed")
            elif line:
                yield line


def _foreign(source: object) -> str | None:
    """Return the server that a source of ``tool.uv`` names; None for a folder."""
    for entry in source if isinstance(source, list) else [source]:
        for key in ("git", "url", "index"):
            if isinstance(entry, dict) and key in entry:
                return str(entry[key])
    return None


def _normalized(name: object) -> str:
    return re.sub(r"[-_.]+", "-", str(name)).lower()


def _shown(text: str) -> str:
    return _USER_INFO.sub("//", text)[:200]
