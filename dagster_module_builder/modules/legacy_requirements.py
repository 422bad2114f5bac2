"""The requirements of older projects, read from ``setup.py`` and ``setup.cfg``, which are never run."""

from __future__ import annotations

import ast
import configparser
import re
from pathlib import Path

from dagster_module_builder.modules.code_location import pyproject, table
from dagster_module_builder.transactions import module_files

SETUP_PY, SETUP_CFG = "setup.py", "setup.cfg"
INSTALL_REQUIRES = "install_requires"
_LINE_END = re.compile(rb"\r\n|\r|\n")


def is_old(module: Path) -> bool:
    """Tell whether a project states its requirements in ``setup.py`` or ``setup.cfg`` alone."""
    has_setup = any((module / name).is_file() for name in (SETUP_PY, SETUP_CFG))
    return has_setup and not table(pyproject(module), "project")


def old_requirements_of(module: Path) -> list[str] | None:
    """Return such a project's requirements; None if they are computed at build time, or cannot be read."""
    return old_requirements(*(module_files.read(module, module / name) or b"" for name in (SETUP_PY, SETUP_CFG)))


def old_requirements(setup_py: bytes, setup_cfg: bytes) -> list[str] | None:
    """Return the requirements in the two files' bytes (empty if a file does not exist); None if they are computed."""
    call = setup_call(parsed(setup_py))
    if setup_py.strip() and call is None:
        return None
    listed = argument(call, INSTALL_REQUIRES) if call else None
    return config_requirements(setup_cfg) if listed is None else _texts(listed)


def parsed(text: bytes) -> ast.Module:
    """Return the syntax tree of a Python file; an empty one if it cannot be parsed."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return ast.Module([], [])


def setup_call(tree: ast.Module) -> ast.Call | None:
    """Return the only call of ``setup`` in a ``setup.py``, if all its arguments have names."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_setup(node.func)]
    if len(calls) != 1 or calls[0].args or any(keyword.arg is None for keyword in calls[0].keywords):
        return None
    return calls[0]


def _is_setup(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name == "setup"


def argument(call: ast.Call, name: str) -> ast.expr | None:
    """Return the value of a call's keyword argument."""
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def _texts(value: ast.expr) -> list[str] | None:
    if not isinstance(value, (ast.List, ast.Tuple)):
        return None
    texts = [node.value for node in value.elts if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return texts if len(texts) == len(value.elts) else None


def config_requirements(text: bytes) -> list[str] | None:
    """Return what ``install_requires`` in a ``setup.cfg`` lists, or None if it names a file."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text.decode())
    except (configparser.Error, UnicodeDecodeError):
        return None
    stated = parser.get("options", INSTALL_REQUIRES, fallback="").strip()
    if stated.startswith("file:"):
        return None
    # As setuptools reads it: a line each, or on one line with semicolons between them.
    parts = stated.split("\n" if "\n" in stated else ";")
    return [part.strip() for part in parts if part.strip() and not part.strip().startswith("#")]


def offset(text: bytes, line: int, column: int) -> int:
    """Return the offset in a file's bytes of a node's position (line from 1, column in bytes)."""
    starts = [0, *(line_end.end() for line_end in _LINE_END.finditer(text))]
    return starts[line - 1] + column
