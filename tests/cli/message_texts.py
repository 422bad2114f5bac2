"""The messages of the program, and the settings and flags that they name."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import dagster_module_builder
import deploy_strategies
from dagster_module_builder.commands import namespace

PACKAGES = [Path(package.__file__ or "").parent for package in (dagster_module_builder, deploy_strategies)]
CONTEXTS = {name: context for context in namespace.to_contexts() for name in (context.name, *context.aliases)}
FLAGS = {flag for context in CONTEXTS.values() for flag in context.flags} | {"--help", "--version"}


def texts_of(tree: ast.AST) -> Iterator[str]:
    """Yield every text of a module but its docstrings; what is filled in becomes ``{}``."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {id(node.body[0].value) for node in ast.walk(tree)
                  if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)}  # fmt: skip
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (docstrings | parts):
            yield node.value


SOURCES = {path.relative_to(folder.parent): path for folder in PACKAGES for path in sorted(folder.rglob("*.py"))
           if "templates" not in path.parts}  # fmt: skip
MESSAGES = [(where, text) for where, path in SOURCES.items() for text in texts_of(ast.parse(path.read_text()))]


def settings_of(section: dict[str, object]) -> set[str]:
    """Return the names that a schema has at any depth."""
    text = json.dumps(section)
    return set(re.findall(r'"([a-z_]+)": \{', text))
