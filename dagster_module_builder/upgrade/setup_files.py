"""Add requirements to a ``setup.py`` or a ``setup.cfg`` without touching its other bytes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from dagster_module_builder.modules.legacy_requirements import (
    INSTALL_REQUIRES,
    argument,
    config_requirements,
    offset,
    parsed,
    setup_call,
)
from dagster_module_builder.upgrade.requirements_table import longer

#: The usual form of the list: one indented requirement on each line below the key.
_CONFIGURED = re.compile(rb"^install_requires[ \t]*[=:][ \t]*\r?\n((?:[ \t]+[^\s#][^\r\n]*(?:\r?\n|$))+)", re.MULTILINE)


def with_install_requires(text: bytes, wanted: Sequence[str]) -> bytes | None:
    """Append requirements to a plain ``setup(…)`` call; None if its structure is not supported."""
    call = setup_call(parsed(text))
    if call is None or not call.keywords:
        return None
    value = argument(call, INSTALL_REQUIRES)
    candidates = _new_argument(text, call, wanted) if value is None else _longer_list(text, value, wanted)
    expected = _expected(text, wanted)
    # The text search can be wrong; accept a change only if parsing it gives the expected tree.
    return next((changed for changed in candidates if ast.dump(parsed(changed)) == expected), None)


def _expected(text: bytes, wanted: Sequence[str]) -> str:
    """Return the syntax tree that the changed file must have."""
    tree = parsed(text)
    added: list[ast.expr] = [ast.Constant(requirement) for requirement in wanted]
    if call := setup_call(tree):
        value = argument(call, INSTALL_REQUIRES)
        if isinstance(value, (ast.List, ast.Tuple)):
            value.elts += added
        elif value is None:
            call.keywords.append(ast.keyword(INSTALL_REQUIRES, ast.List(added, ast.Load())))
    return ast.dump(tree)


def _longer_list(text: bytes, value: ast.expr, wanted: Sequence[str]) -> Iterator[bytes]:
    if not isinstance(value, (ast.List, ast.Tuple)):
        return
    start, end = _begin(text, value), _end(text, value)
    inside = text[start + 1 : end - 1].decode("utf-8", "surrogateescape")
    for comma in ("", ","):
        changed = longer(inside, wanted, comma).encode("utf-8", "surrogateescape")
        yield text[: start + 1] + changed + text[end - 1 :]


def _new_argument(text: bytes, call: ast.Call, wanted: Sequence[str]) -> Iterator[bytes]:
    last = call.keywords[-1]
    start, end = _begin(text, last), _end(text, last.value)
    before = re.search(rb"[^\r\n]*\Z", text[:start])
    indent = before[0] if before and not before[0].strip() else None
    newline = b"\r\n" if b"\r\n" in text else b"\n"
    between = b", " if indent is None else b"," + newline + indent
    listed = ", ".join(f'"{requirement}"' for requirement in wanted)
    yield text[:end] + between + f"{INSTALL_REQUIRES}=[{listed}]".encode() + text[end:]


def _begin(text: bytes, node: ast.expr | ast.keyword) -> int:
    return offset(text, node.lineno, node.col_offset)


def _end(text: bytes, node: ast.expr) -> int:
    return offset(text, node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)


def with_configured_requires(text: bytes, wanted: Sequence[str]) -> bytes | None:
    """Append requirements to the list in a ``setup.cfg``; None unless each has a separate line."""
    match = _CONFIGURED.search(text)
    if match is None:
        return None
    last = match[1].rstrip(b"\r\n")
    indent = re.match(rb"[ \t]*", last.rpartition(b"\n")[2])
    newline = b"\r\n" if b"\r\n" in match[0] else b"\n"
    position = match.start(1) + len(last)
    added = b"".join(newline + (indent[0] if indent else b"    ") + requirement.encode() for requirement in wanted)
    changed = text[:position] + added + text[position:]
    before, after = config_requirements(text), config_requirements(changed)
    return changed if before is not None and after == [*before, *wanted] else None
