"""Where the code of any project is: its package, and the file that Dagster loads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster_module_builder.base import settings
from dagster_module_builder.shared_files.formats import toml_text
from dagster_module_builder.transactions import module_files

#: Folders of a project that hold none of its code.
_NO_CODE = frozenset({"build", "deploy", "dist", "docs", "node_modules", "site-packages", "tests", "venv", "workspace"})
_TOP_FILES = frozenset({"conftest", "noxfile", "setup", "tasks"})
_LOADS_FOLDER = re.compile(rb"\b(?:load_from_defs_folder|load_defs)\s*\(")


@dataclass(frozen=True)
class CodeLocation:
    """Where a project's code is.

    Attributes:
        source: The folder that Python imports from.
        package: The package's folder; the same as ``source`` if the files are in no package.
        definitions: The file that builds the definitions; None if no file does.
    """

    source: Path
    package: Path
    definitions: Path | None

    @property
    def is_flat(self) -> bool:
        """Whether the files are in no package."""
        return self.package == self.source

    @property
    def dotted(self) -> str | None:
        """The name by which Python imports what builds the definitions."""
        if self.definitions is None:
            return None
        parts = self.definitions.relative_to(self.source).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def pyproject(module: Path) -> Mapping[str, Any]:
    """Return a project's ``pyproject.toml``, parsed; empty if it does not exist or cannot be read."""
    try:
        text = module_files.read(module, module / "pyproject.toml") or b""
        data: Mapping[str, Any] = toml_text.parsed(text)
    except (OSError, ValueError):
        return {}
    return data


def table(data: object, *keys: str) -> Mapping[str, Any]:
    """Return a table within parsed data; empty if there is none: ``table(data, "tool", "uv")``."""
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def code_files(module: Path) -> list[Path]:
    """Return a project's Python files without its tests, by path."""
    return sorted(_python_below(module, top=True))


def _python_below(folder: Path, *, top: bool = False) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith(".") or path.is_symlink():
            continue
        if path.is_dir():
            if not _is_without_code(path):
                yield from _python_below(path)
        elif path.suffix == ".py" and not (top and path.stem in _TOP_FILES):
            yield path


def _is_without_code(folder: Path) -> bool:
    name = folder.name
    skipped = name in _NO_CODE or name.endswith(("_tests", ".egg-info")) or name == "__pycache__"
    return skipped or (folder / "pyvenv.cfg").exists()


def defs_folder(module: Path, location: CodeLocation) -> Path | None:
    """Return the folder whose files and components the definitions load (``defs``); None if they load none."""
    if location.definitions is None or not _LOADS_FOLDER.search(module_files.read(module, location.definitions) or b""):
        return None
    named = table(pyproject(module), "tool", "dg", "project").get("defs_module")
    parts = (
        named.split(".") if isinstance(named, str) else [*location.package.relative_to(location.source).parts, "defs"]
    )
    folder = location.source.joinpath(*parts)
    return folder if folder.is_dir() else None


def is_project(folder: Path) -> bool:
    """Tell whether a folder holds something that could be a code location."""
    if folder.name.startswith(".") or not folder.is_dir():
        return False
    marks = ("pyproject.toml", "setup.py", settings.FRAGMENTS)
    return any((folder / mark).exists() for mark in marks) or any(folder.glob("*.py"))
