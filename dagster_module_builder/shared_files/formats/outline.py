"""The positions of keys and collections in a YAML file. PyYAML locates; it never writes.

Lines are split at line feeds only, while YAML also breaks them at other characters. A position is therefore found by
its character offset, not by the parser's line number.
"""

from __future__ import annotations

import contextlib
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any

import yaml

from dagster_module_builder.shared_files.formats.yaml_nodes import is_merge_key, merge_sources, merged_keys, scalars

#: Files with more bytes or lines (blocks not counted) are refused: parsing them takes seconds.
LARGEST_FILE = 2 * 1024 * 1024
MOST_LINES = 20_000
#: Collections nested deeper than this are refused before the parser recurses into them.
DEEPEST_NESTING = 60
#: Mappings that inherit more keys than this are refused: nested merge keys can take exponential time to load.
MOST_INHERITED = 10_000

KeyPath = tuple[str, ...]
#: Returns the own line of a character.
LineOf = Callable[[int], int]

_COMMENT = re.compile(rb"\s*#")
_DASH = re.compile(r"^ *(?=-\s)", re.MULTILINE)
#: What YAML forbids in a file (https://yaml.org/spec/1.1/#c-printable); UTF-8 has no surrogates.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ufeff\ufff0-\ufffd\U00010000-\U0010ffff]")


class UnsafeEditError(Exception):
    """A file cannot be edited safely: the line (``position``, from 0) and the reason."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(reason)
        self.position = position
        self.reason = reason


@dataclass(frozen=True)
class Key:
    """A key of a block mapping: its path, own line, column and value."""

    path: KeyPath
    line: int
    column: int
    node: yaml.Node
    value: yaml.Node


class Outline:
    """The structure of a YAML file's own lines."""

    def __init__(self, own: Sequence[bytes]) -> None:
        self.own = own
        text = _decoded(own)
        self._starts = [0, *accumulate(map(len, _line_texts(text)))]
        self.text = text
        self._aliases = _aliases(text, self._line_of)
        self.root = _composed(text, self._line_of)
        self._seen: dict[int, int] = {}
        self._weights: dict[int, int] = {}
        self._repeated: list[tuple[int, KeyPath]] = []
        self.keys = list(self._walk(self.root, ())) if self.root else []

    def _line_of(self, index: int) -> int:
        return min(bisect_right(self._starts, index) - 1, max(len(self.own) - 1, 0))

    def line(self, node: yaml.Node) -> int:
        """Return the own line on which a node begins."""
        return self._line_of(node.start_mark.index)

    def column(self, node: yaml.Node) -> int:
        """Return the column, in characters, of a node; of a block collection, that of its keys or dashes."""
        index: int = node.start_mark.index
        if isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
            # An anchor or a tag precedes the collection, usually on the line above.
            if isinstance(node, yaml.MappingNode):
                index = node.value[0][0].start_mark.index
            elif self.text[index] != "-" and (dash := _DASH.search(self.text, index)):
                index = dash.end()
        return index - self._starts[self._line_of(index)]

    def _walk(self, node: yaml.Node, path: KeyPath) -> Iterator[Key]:
        self._seen[id(node)] = self._seen.get(id(node), 0) + 1
        if self._seen[id(node)] > 1:
            return
        if isinstance(node, yaml.MappingNode):
            self._weigh(node)
            names: set[str] = set()
            for key, value in node.value:
                key_path = (*path, str(key.value))
                if key_path[-1] in names and not is_merge_key(key):
                    self._repeated.append((self.line(key), key_path))
                names.add(key_path[-1])
                if not node.flow_style:
                    self._refuse_unusual(key)
                    yield Key(key_path, self.line(key), self.column(key), key, value)
                yield from self._walk(value, key_path)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                yield from self._walk(item, (*path, str(index)))

    def _weigh(self, node: yaml.MappingNode) -> None:
        sources = merge_sources(node)
        weight = len(node.value) + sum(self._weights.get(id(source), 0) for source in sources)
        if weight > MOST_INHERITED and sources:
            raise UnsafeEditError(self.line(node), "merge keys (<<) with too many keys")
        self._weights[id(node)] = weight

    def _refuse_unusual(self, key: yaml.Node) -> None:
        # After "?", or after a line break that only YAML counts as one, a key's column means nothing.
        line = self.line(key)
        before = self.text[self._starts[line] : key.start_mark.index]
        if before.strip(" -"):
            raise UnsafeEditError(line, f"{before.strip()[:20]!r} before a key on the same line")

    @property
    def repeated(self) -> Sequence[tuple[int, KeyPath]]:
        """The own lines and paths of repeated keys, which YAML's loaders accept silently."""
        return self._repeated

    def refuse_repeated(self) -> None:
        """Refuse a file with a repeated key.

        Raises:
            UnsafeEditError: With the line of the second one.
        """
        for line, path in self._repeated:
            raise UnsafeEditError(line, f"the key {'.'.join(path)!r} is repeated, and only the last one counts")

    @cached_property
    def _by_path(self) -> dict[KeyPath, Key]:
        return {key.path: key for key in self.keys}

    def find(self, path: KeyPath) -> Key | None:
        """Return the key at a path, or None."""
        return self._by_path.get(path)

    def children(self, path: KeyPath) -> list[str]:
        """Return the names of the keys below a path; an empty path is the top of the file."""
        value = self.root if not path else getattr(self.find(path), "value", None)
        return [str(key.value) for key, _ in value.value] if isinstance(value, yaml.MappingNode) else []

    def is_shared(self, key: Key) -> bool:
        """Return whether the value is an alias, or is used elsewhere through one."""
        return key.value.start_mark.index < key.node.end_mark.index or self._seen.get(id(key.value), 0) > 1

    def is_inherited(self, path: KeyPath) -> bool:
        """Return whether a mapping without this key inherits it through a merge key (``<<``)."""
        parent = self.find(path[:-1])
        value = parent.value if parent else self.root
        return value is not None and (parent is not None or len(path) == 1) and path[-1] in merged_keys(value)

    def last_line(self, node: yaml.Node) -> int:
        """Return the last own line of a node's deepest leaf."""
        if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
            last = node.value[-1][1] if isinstance(node.value[-1], tuple) else node.value[-1]
            alias = self._last_alias_before(node.end_mark.index)
            # PyYAML replaces an alias by its node, which begins and ends elsewhere: around this one, or above it.
            if last.start_mark.index <= node.start_mark.index or last.end_mark.index <= alias:
                return self._line_of(alias)
            first = self.line(node.value[-1][0]) if isinstance(node.value[-1], tuple) else self.line(last)
            return max(first, self.last_line(last))
        if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
            return self._last_line_of_block_scalar(node)
        return self._line_of(max(node.end_mark.index - 1, node.start_mark.index))

    def _last_alias_before(self, index: int) -> int:
        count = bisect_left(self._aliases, index)
        return self._aliases[count - 1] if count else -1

    def _last_line_of_block_scalar(self, node: yaml.ScalarNode) -> int:
        first, after = self.line(node), bisect_right(self._starts, node.end_mark.index) - 1
        keeps_blanks = b"+" in self.own[first].split(b"#")[0][self.column(node) :][:3]
        last = min(after if node.end_mark.index > self._starts[after] else after - 1, len(self.own) - 1)
        while last > first and not keeps_blanks and not self.own[last].strip():
            last -= 1
        return max(last, first)

    def after(self, node_end: int, column: int) -> int:
        """Return the position after own line ``node_end`` and the following comments at ``column`` or further right."""
        position = look = node_end + 1
        while look < len(self.own):
            line = self.own[look]
            if _COMMENT.match(line) and len(line) - len(line.lstrip(b" ")) >= column:
                position = look + 1
            elif line.strip():
                break
            look += 1
        return position

    def end_of_document(self) -> int:
        """Return the position before the document's end marker (``...``), or after the last line."""
        start = self.last_line(self.root) + 1 if self.root else 0
        for position in range(start, len(self.own)):
            if re.match(rb"\.\.\.(\s|$)", self.own[position]):
                return position
        return len(self.own)

    @cached_property
    def step(self) -> int:
        """The indentation of a level in this file, in columns: that of the first nested mapping, else 2."""
        for key in self.keys:
            value = key.value
            if isinstance(value, yaml.MappingNode) and not value.flow_style and value.value and not self.is_shared(key):
                return max(self.column(value) - key.column, 1)
        return 2

    def slot_at(self, position: int, indent: int, *, items: bool) -> KeyPath:
        """Return the path of the key that a block before own line ``position`` belongs to.

        Args:
            position: The own line after the block.
            indent: The block's column.
            items: Whether the block has items of a list, which may have the same column as their key.
        """
        for index in range(bisect_right(self._key_lines, position - 1) - 1, -1, -1):
            key = self._ordered[index]
            if key.column < indent or (items and key.column == indent):
                return key.path
        return ()

    @cached_property
    def _ordered(self) -> list[Key]:
        return sorted(self.keys, key=lambda key: key.line)

    @cached_property
    def _key_lines(self) -> list[int]:
        return [key.line for key in self._ordered]

    def scalar_lines(self) -> set[int]:
        """Return the own lines inside multi-line texts, where ``#`` does not begin a comment."""
        return {line for node in scalars(self.root) for line in self._inside(node)} if self.root else set()

    def _inside(self, node: yaml.ScalarNode) -> range:
        first = self.line(node)
        return range(first + 1, self.last_line(node) + 1)

    def load(self) -> Any:
        """Return the values of the file, as YAML's safe loader reads them."""
        # The depth was checked when the file was parsed.
        return yaml.load(self.text, Loader=yaml.CSafeLoader)  # noqa: TID251


@lru_cache(maxsize=16)
def _outline(own: tuple[bytes, ...]) -> Outline:
    return Outline(own)


def outline_of(own: Sequence[bytes]) -> Outline:
    """Return the structure of a YAML file's own lines; the last few are cached, since one edit asks many times."""
    return _outline(tuple(own))


def refuse_large(own: Sequence[bytes]) -> None:
    """Refuse a file with too many own bytes or lines.

    Raises:
        UnsafeEditError: The file is too large.
    """
    if sum(map(len, own)) > LARGEST_FILE:
        raise UnsafeEditError(0, f"the file is larger than {LARGEST_FILE // 1024**2} MB")
    if len(own) > MOST_LINES:
        raise UnsafeEditError(MOST_LINES, f"the file has more than {MOST_LINES} lines")


def _decoded(own: Sequence[bytes]) -> str:
    refuse_large(own)
    for position, line in enumerate(own):
        if line[: len(line) - len(line.lstrip(b" \t"))].count(b"\t") and line.strip() and not _COMMENT.match(line):
            raise UnsafeEditError(position, "a tab in the indentation, which YAML does not allow")
        try:
            line.decode()
        except UnicodeDecodeError:
            raise UnsafeEditError(position, "a byte that is not UTF-8") from None
    return b"".join(own).decode().removeprefix("\ufeff")


def _line_texts(text: str) -> list[str]:
    return [line + "\n" for line in text.split("\n")]


def _composed(text: str, line_of: LineOf) -> yaml.Node | None:
    with _refusals(text, line_of):
        return yaml.compose(text, Loader=yaml.CSafeLoader)


def _aliases(text: str, line_of: LineOf) -> list[int]:
    """Return the offsets of the aliases; refuse collections nested too deeply for a parser that recurses."""
    aliases: list[int] = []
    depth = 0
    with _refusals(text, line_of):
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            index = event.start_mark.index if event.start_mark else 0
            if isinstance(event, yaml.AliasEvent):
                aliases.append(index)
            elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                depth += 1
                if depth > DEEPEST_NESTING:
                    raise UnsafeEditError(line_of(index), "collections nested too deeply")
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                depth -= 1
    return aliases


@contextlib.contextmanager
def _refusals(text: str, line_of: LineOf) -> Iterator[None]:
    """Turn an error of the parser into an ``UnsafeEditError`` with the line."""
    try:
        yield
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UnsafeEditError(line_of(mark.index) if mark else 0, f"not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        match = _UNPRINTABLE.search(text)
        reason = f"the character {match[0]!r}, which YAML does not allow" if match else f"not valid YAML: {error}"
        raise UnsafeEditError(line_of(match.start()) if match else 0, reason) from None
