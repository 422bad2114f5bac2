"""Where the code of any project is: its package, and the file that Dagster loads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dagster_module_builder.base import settings
from dagster_module_builder.shared_files.formats import toml_text
from dagster_module_builder.shared_files.formats.yaml_text import parsed
from dagster_module_builder.transactions import module_files

#: Folders of a project that hold none of its code.
_NO_CODE = frozenset({"build", "deploy", "dist", "docs", "node_modules", "site-packages", "tests", "venv", "workspace"})
_TOP_FILES = frozenset({"conftest", "noxfile", "setup", "tasks"})
_BUILDS_DEFINITIONS = re.compile(rb"\bDefinitions\s*\(|^\s*@(?:\w+\.)?(?:definitions|repository)\b", re.MULTILINE)


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


def _builds_definitions(module: Path, path: Path) -> bool:
    return _BUILDS_DEFINITIONS.search(module_files.read(module, path) or b"") is not None


def read_code_location(module: Path) -> CodeLocation:
    """Find a project's code: where its settings say, else where definitions are built."""
    files = code_files(module)
    for dotted in _named_modules(module):
        for source in (module / "src", module):
            file = _file_of(source, dotted)
            if file and (file.stem != "__init__" or _builds_definitions(module, file)):
                return _code_location(source, file)
    building = [path for path in files if _builds_definitions(module, path)]
    chosen = min(building, key=_likelihood, default=None)
    if chosen is not None:
        return _code_location(_source_of(chosen, module), chosen)
    package = next((path.parent for path in files if path.name == "__init__.py"), None)
    source = package.parent if package else module
    return CodeLocation(source, package or source, None)


def _named_modules(module: Path) -> Iterator[str]:
    """Yield the Python modules that a project's settings name."""
    data = pyproject(module)
    dg, old = table(data, "tool", "dg", "project"), table(data, "tool", "dagster")
    root = dg.get("root_module")
    for named in (dg.get("code_location_target_module"), root and f"{root}.definitions", old.get("module_name"), root):
        if isinstance(named, str):
            yield named
    yield from _named_by_fragment(module)


def _named_by_fragment(module: Path) -> Iterator[str]:
    try:
        text = module_files.read(module, module / settings.FRAGMENTS / "workspace.yaml")
        data = parsed(text or b"")
        entries = data["load_from"] or []
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return
    for entry in entries:
        for kind in ("python_package", "python_module"):
            named = table(entry, kind)
            if isinstance(name := named.get("package_name") or named.get("module_name"), str):
                yield name


def _file_of(source: Path, dotted: str) -> Path | None:
    path = source.joinpath(*dotted.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _likelihood(path: Path) -> tuple[bool, int, bool, str]:
    """Order files by how likely Dagster loads them: definitions of components and of parts come last."""
    return "defs" in path.parts, len(path.parts), path.stem not in {"definitions", "__init__"}, str(path)


def _source_of(file: Path, module: Path) -> Path:
    folder = file.parent
    while (folder / "__init__.py").is_file() and folder != module:
        folder = folder.parent
    return folder


def _code_location(source: Path, definitions: Path) -> CodeLocation:
    parts = definitions.relative_to(source).parts
    return CodeLocation(source, source / parts[0] if len(parts) > 1 else source, definitions)


def is_project(folder: Path) -> bool:
    """Tell whether a folder holds something that could be a code location."""
    if folder.name.startswith(".") or not folder.is_dir():
        return False
    marks = ("pyproject.toml", "setup.py", settings.FRAGMENTS)
    return any((folder / mark).exists() for mark in marks) or any(folder.glob("*.py"))
