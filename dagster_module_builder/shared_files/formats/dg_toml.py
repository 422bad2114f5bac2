"""``dg.toml``, or ``pyproject.toml`` with ``[tool.dg]``: the projects of a dg workspace.

The format is Dagster's (https://docs.dagster.io/api/dg/dg-cli-configuration). A project is a table
``[[workspace.projects]]``, or an item of an array ``projects = […]``. In ``pyproject.toml``, dg refuses its
tables behind those of other programs, so blocks follow its last one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from typing import Any

from dagster_module_builder.shared_files.blocks import Layout, bare, ending_near, split_lines
from dagster_module_builder.shared_files.formats import toml_outline, toml_text
from dagster_module_builder.shared_files.formats.line_file import LineFile
from dagster_module_builder.shared_files.formats.outline import KeyPath, UnsafeEditError
from dagster_module_builder.shared_files.formats.shared_file import Contribution, Placement, Scaffold
from dagster_module_builder.shared_files.formats.toml_outline import TomlOutline

NAME = "dg.toml"
#: The other file that dg reads.
PYPROJECT = "pyproject.toml"

_PROJECTS: KeyPath = ("workspace", "projects")
_IN_PYPROJECT: KeyPath = ("tool", "dg")
_ERROR_LINE = re.compile(r"at line (\d+)")
_INDENT = 4


def contributions(path: str, *, in_pyproject: bool) -> list[Contribution]:
    """Return what a project contributes.

    Args:
        path: Its folder, relative to the file's.
        in_pyproject: Whether the file is a ``pyproject.toml``.
    """
    stated = f"path = {json.dumps(path, ensure_ascii=False)}"
    header = ".".join((*(_IN_PYPROJECT if in_pyproject else ()), *_PROJECTS))
    return [
        Contribution((), (f"[[{header}]]".encode(), stated.encode()), (f"{{ {stated} }},".encode(),)),
    ]


def projects(text: bytes) -> list[str]:
    """Return the paths of a dg workspace's projects, relative to the file's folder, in its order.

    Raises:
        ValueError: It is not TOML.
    """
    data: Any = toml_text.parsed(text)
    for key in _slot(data):
        data = data.get(key) if isinstance(data, dict) else None
    entries = data if isinstance(data, list) else []
    return [str(entry["path"]) for entry in entries if isinstance(entry, dict) and "path" in entry]


class DgFile(LineFile):
    """The file of a dg workspace: it has one slot."""

    def __init__(self) -> None:
        super().__init__(NAME, lambda own: _text_lines(_outline(own)))

    def prepare(self, layout: Layout, path: KeyPath, created: Collection[KeyPath]) -> dict[KeyPath, Scaffold]:
        """Give an array of projects a line for its end, and its last item a comma."""
        del created
        outline = _outline(layout.own)
        array = outline.arrays.get(_slot_in(outline))
        if array is None:
            _refuse_closed(outline, layout.own, _position(outline))
            return {}
        first, last = outline.line(array.start), outline.line(array.end - 1)
        before, ending = layout.own[first : last + 1], ending_near(layout.own, first + 1).decode()
        after = _with_room(outline.text, array, ending)
        if after == "".join(line.decode() for line in before):
            return {}
        lines = split_lines(after.encode())
        layout.replace_own(first, len(before), lines)
        return {path: Scaffold(tuple(before), tuple(lines))}

    def clear(self, layout: Layout, path: KeyPath, scaffold: Scaffold) -> None:
        """Undo that, unless the owner has changed the array since."""
        del path
        outline = _outline(layout.own)
        array = outline.arrays.get(_slot_in(outline))
        if array is None:
            return
        first, count = outline.line(array.start), len(scaffold.after)
        current = tuple(layout.own[first : first + count])
        if bare(current) != bare(scaffold.after):
            return
        ending = None if current == scaffold.after else ending_near(layout.own, first + 1)
        lines = [line if ending is None else line.rstrip(b"\r\n") + ending for line in scaffold.before]
        layout.replace_own(first, count, lines)

    def placements(self, layout: Layout, contributions: Sequence[Contribution]) -> list[Placement]:
        """Return the placement of each contribution: at the end of the array, or behind dg's last table."""
        outline = _outline(layout.own)
        array = outline.arrays.get(_slot_in(outline))
        if array is None:
            position = _position(outline)
            return [Placement(position, 0, contribution.mapping or ()) for contribution in contributions]
        position, indent = outline.line(array.end - 1), _indent(outline, array)
        return [Placement(position, indent, contribution.sequence or ()) for contribution in contributions]


def _slot(data: object) -> KeyPath:
    tool = data.get("tool") if isinstance(data, dict) else None
    return (*_IN_PYPROJECT, *_PROJECTS) if isinstance(tool, dict) and "dg" in tool else _PROJECTS


def _slot_in(outline: TomlOutline) -> KeyPath:
    return _slot(toml_text.parsed(outline.text))


def _outline(own: Sequence[bytes]) -> TomlOutline:
    try:
        return toml_outline.outline_of(b"".join(own).decode())
    except UnicodeDecodeError:
        raise UnsafeEditError(0, "bytes that are not UTF-8") from None
    except ValueError as error:
        stated = _ERROR_LINE.search(str(error))
        raise UnsafeEditError(int(stated[1]) - 1 if stated else 0, f"this is not TOML: {error}") from None


def _text_lines(outline: TomlOutline) -> set[int]:
    spans = ((outline.line(start), outline.line(end)) for start, end in outline.long_texts)
    return {line for first, last in spans for line in range(first + 1, last + 1)}


def _position(outline: TomlOutline) -> int:
    """Return the line before which a table of a project goes."""
    slot = _slot_in(outline)
    for prefix in (slot, slot[:-1], slot[:-2]):
        ends = [table.end for table in outline.tables if prefix and table.path[: len(prefix)] == prefix]
        if ends:
            return outline.line(ends[-1]) + 1
    return outline.line(len(outline.text)) + (not outline.text.endswith("\n") if outline.text else 0)


def _refuse_closed(outline: TomlOutline, own: Sequence[bytes], position: int) -> None:
    """Refuse a file in which a table of a project would not be TOML, or not be read by dg."""
    slot = _slot_in(outline)
    entry = f"\n[[{'.'.join(slot)}]]\npath = 'x'\n".encode()
    try:
        toml_text.parsed(b"".join([*own[:position], entry, *own[position:]]))
    except ValueError:
        closed = [offset for path, offset in outline.keys.items() if path[: len(slot) - 1] == slot[:-1]]
        closed += [offset for path, offset in outline.keys.items() if path == slot[: len(path)]]
        line = outline.line(min(closed, default=0))
        table = ".".join(slot[:-1])
        reason = f"a table [[{'.'.join(slot)}]] cannot follow what this line says of {table}: write it as [{table}]"
        raise UnsafeEditError(line, reason) from None
    heads = [table.path[: len(_IN_PYPROJECT)] for table in outline.tables]
    if slot[:2] == _IN_PYPROJECT and _IN_PYPROJECT not in heads:
        line = outline.line(min(outline.keys[path] for path in outline.keys if path[:2] == _IN_PYPROJECT))
        raise UnsafeEditError(
            line, "dg does not read [[tool.dg.workspace.projects]] beside this: write it as [tool.dg]"
        )


def _with_room(text: str, array: toml_outline.Collection, ending: str) -> str:
    """Return the lines of an array with a comma behind its last item, and its end in a separate line."""
    first, last = text.rfind("\n", 0, array.start) + 1, text.find("\n", array.end)
    inside_to = array.end - 1
    head, rest = text[first : array.start + 1], text[inside_to : last + 1 if last >= 0 else len(text)]
    body = text[array.start + 1 : inside_to]
    if array.items:
        end = array.items[-1][1] - array.start - 1
        if not _has_comma(body[end:]):
            body = body[:end] + "," + body[end:]
    if body.rpartition("\n")[2].strip() or "\n" not in body:
        margin = head[: len(head) - len(head.lstrip(" \t"))]
        body = body.rstrip(" \t") + ending + margin
    return head + body + rest


def _has_comma(text: str) -> bool:
    return any("," in line.partition("#")[0] for line in text.split("\n"))


def _indent(outline: TomlOutline, array: toml_outline.Collection) -> int:
    """Return the indentation of an array's items that begin a line; of its end, and a step more, if none does."""
    starts = [outline.text.rfind("\n", 0, start) + 1 for start, _ in array.items]
    own = [start - line for line, (start, _) in zip(starts, array.items, strict=True) if line > array.start]
    if own and outline.text[starts[-1] : array.items[-1][0]].isspace():
        return own[-1]
    line = outline.text.rfind("\n", 0, array.end - 1) + 1
    return array.end - 1 - line + _INDENT


FILE = DgFile()
