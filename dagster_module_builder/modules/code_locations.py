"""The code locations of a project: those that its settings name, else the files that build definitions."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import UsageError
from dagster_module_builder.modules.code_location import CodeLocation, code_files, pyproject, table
from dagster_module_builder.shared_files.formats.yaml_text import parsed
from dagster_module_builder.transactions import module_files

_BUILDS = re.compile(rb"\bDefinitions(?:\.merge)?\s*\(|^\s*@(?:\w+\.)?(?:definitions|repository)\b", re.MULTILINE)
#: The first line of each statement at the top of a file.
_STATEMENT = re.compile(rb"^[^\s)\]}#].*", re.MULTILINE)
#: What is built in a function or a class is there only when that is called.
_LATER = re.compile(rb"(?:async\s+def|def|class)\b")
_IMPORT = re.compile(
    rb"^[ \t]*(?:from[ \t]+([.\w]+)[ \t]+import[ \t]+(?:\(([^)]*)\)|([^\n#]*))|import[ \t]+([^\n#]+))", re.MULTILINE
)
_KINDS = ("python_package", "python_module", "python_file")


def read_code_location(module: Path, chosen: str | None = None) -> CodeLocation:
    """Find a project's code: where its settings say, else where definitions are built.

    Args:
        module: The project's folder.
        chosen: The dotted name of one of its code locations; the likeliest by default.

    Raises:
        UsageError: It has no such code location.
    """
    found = code_locations(module)
    if chosen is not None:
        return _chosen(module, found, chosen)
    if found:
        return found[0]
    package = next((path.parent for path in code_files(module) if path.name == "__init__.py"), None)
    source = package.parent if package else module
    return CodeLocation(source, package or source, None)


def _chosen(module: Path, found: Sequence[CodeLocation], chosen: str) -> CodeLocation:
    by_name = {location.dotted: location for location in found}
    if chosen not in by_name:
        names = ", ".join(map(str, by_name)) or "none"
        raise UsageError(f"{module.name} has no code location {chosen!r}. It has: {names}.")
    return by_name[chosen]


def code_locations(module: Path) -> list[CodeLocation]:
    """Return all code locations of a project, the likeliest first; one if its settings or its fragment name it."""
    for named in (_named_by_settings(module), _named_by_file(module / settings.FRAGMENTS / "workspace.yaml", module)):
        if first := next(named, None):
            return [first]
    several = [*_named_as_several(module), *_named_by_file(module / "workspace.yaml", module)]
    return list(dict.fromkeys(several)) or _built(module)


def _named_by_settings(module: Path) -> Iterator[CodeLocation]:
    data = pyproject(module)
    dg, old = table(data, "tool", "dg", "project"), table(data, "tool", "dagster")
    root = dg.get("root_module")
    for named in (dg.get("code_location_target_module"), root and f"{root}.definitions", old.get("module_name"), root):
        yield from _named(module, named)


def _named_as_several(module: Path) -> Iterator[CodeLocation]:
    """Yield what ``modules = [{type = "module", name = "…"}]`` names."""
    entries = table(pyproject(module), "tool", "dagster").get("modules")
    for entry in entries if isinstance(entries, list) else []:
        yield from _named(module, entry.get("name") if isinstance(entry, dict) else None)


def _named(module: Path, dotted: object, sources: Sequence[str] = ("src", ".")) -> Iterator[CodeLocation]:
    """Yield the file of a dotted name, if it is there and may build definitions."""
    for source in (module / name for name in sources) if isinstance(dotted, str) else ():
        file = _file_of(source, str(dotted))
        building = file and _building(module, file)
        if building and building.is_relative_to(source):
            yield _code_location(source, building)
            return


def _named_by_file(file: Path, module: Path) -> Iterator[CodeLocation]:
    """Yield what a workspace file in a project names."""
    try:
        data = parsed(module_files.read(module, file) or b"")
        entries = data["load_from"] or []
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return
    for entry in entries if isinstance(entries, list) else []:
        for kind in _KINDS:
            if isinstance(entry, dict) and kind in entry:
                yield from _of_entry(module, entry[kind])


def _of_entry(module: Path, entry: object) -> Iterator[CodeLocation]:
    details: Mapping[str, Any] = entry if isinstance(entry, dict) else {"relative_path": entry, "module_name": entry}
    folder = str(details.get("working_directory") or ".")
    is_inside = not Path(folder).is_absolute() and ".." not in Path(folder).parts
    named = details.get("package_name") or details.get("module_name")
    yield from _named(module, named, [*([folder] if is_inside else []), "src", "."])
    path = module / str(details.get("relative_path") or "")
    if path.suffix == ".py" and path.is_file() and path.resolve().is_relative_to(module.resolve()):
        building = _building(module, path) or path
        yield _code_location(_source_of(building, module), building)


def _file_of(source: Path, dotted: str) -> Path | None:
    path = source.joinpath(*dotted.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _building(module: Path, file: Path) -> Path | None:
    """Return a file, or the one that builds what it re-exports; None for a package that builds nothing."""
    text = module_files.read(module, file) or b""
    if _BUILDS.search(text):
        return file
    parts = (part for part in _imported(file, text, module) if _BUILDS.search(module_files.read(module, part) or b""))
    return next(parts, None if file.stem == "__init__" else file)


def _built(module: Path) -> list[CodeLocation]:
    """Return the files that build definitions, without those that others of them import as parts."""
    texts = {path: module_files.read(module, path) or b"" for path in code_files(module)}
    building = {path: text for path, text in texts.items() if _BUILDS.search(text)}
    parts = {part for path, text in building.items() for part in _imported(path, text, module) if part != path}
    whole = [path for path, text in building.items() if path not in parts and _is_loadable(path, text)]
    chosen = sorted(whole or building, key=_likelihood)
    return [_code_location(_source_of(path, module), path) for path in chosen]


def _is_loadable(path: Path, text: bytes) -> bool:
    """Tell whether a file builds definitions when it is imported, and not for the folder that it is in."""
    if "defs" in path.parts:
        return False
    statements = [(match.start(), match[0]) for match in _STATEMENT.finditer(text)]
    starts = [start for start, _ in statements]
    for match in _BUILDS.finditer(text):
        number = bisect_right(starts, match.start() + len(match[0]) - len(match[0].lstrip())) - 1
        if number >= 0 and not _LATER.match(statements[number][1]):
            return True
    return False


def _imported(path: Path, text: bytes, module: Path) -> Iterator[Path]:
    """Yield the files that a file imports, or imports from."""
    for match in _IMPORT.finditer(text):
        source, names = (match[1] or b"").decode(), (match[2] or match[3] or match[4] or b"").decode("utf-8", "replace")
        listed = [name.split()[0] for name in names.replace("\n", " ").split(",") if name.split()]
        for folder in _folders(path, source, module):
            yield from (file for name in listed if (file := _file_of(folder, name)))
            if source.strip(".") and (file := _file_of(folder.parent, folder.name)):
                yield file


def _folders(path: Path, source: str, module: Path) -> Sequence[Path]:
    """Return the folders that a dotted name may mean in a file."""
    dotted = source.lstrip(".")
    level = len(source) - len(dotted)
    parents = [path.parents[level - 1]] if 0 < level <= len(path.parents) else [module, module / "src", path.parent]
    return [parent.joinpath(*dotted.split(".")) if dotted else parent for parent in parents]


def _likelihood(path: Path) -> tuple[bool, int, bool, str]:
    """Order files by how likely Dagster loads them: definitions of components and of parts come last."""
    return "defs" in path.parts, len(path.parts), path.stem not in {"definitions", "__init__"}, str(path)


def _source_of(file: Path, module: Path) -> Path:
    """Return the folder that Python imports a file's package from, which need not have an ``__init__.py``."""
    folder = file.parent
    while (folder / "__init__.py").is_file() and folder != module:
        folder = folder.parent
    text = module_files.read(module, file) or b""
    above = [parent for parent in folder.parents if parent == module or module in parent.parents]
    return next((parent for parent in above if _imports_from(parent, folder, text)), folder)


def _imports_from(source: Path, folder: Path, text: bytes) -> bool:
    """Tell whether a file imports files of the package that a folder is in, by their names from ``source`` on."""
    package = folder.relative_to(source).parts[0]
    for match in _IMPORT.finditer(text):
        dotted = (match[1] or match[4] or b"").decode("utf-8", "replace").partition(" ")[0].strip()
        names = re.findall(r"\w+", (match[2] or match[3] or b"").decode("utf-8", "replace"))
        if dotted.partition(".")[0] == package and any(
            _file_of(source, name) for name in (dotted, *(f"{dotted}.{name}" for name in names))
        ):
            return True
    return False


def _code_location(source: Path, definitions: Path) -> CodeLocation:
    parts = definitions.relative_to(source).parts
    return CodeLocation(source, source / parts[0] if len(parts) > 1 else source, definitions)
