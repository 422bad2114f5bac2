"""A YAML fragment's values with their lines, as Compose reads them: aliases and merge keys (``<<``) are resolved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from dagster_module_builder.shared_files.formats.outline import Outline, UnsafeEditError

_MERGE = "tag:yaml.org,2002:merge"
#: Aliases of aliases can expand a short file to millions of values.
MOST_VALUES = 100_000
#: Deeper values have the path of the key above.
_DEEPEST_NAMED = 8


@dataclass
class _Budget:
    left: int = MOST_VALUES


@dataclass(frozen=True)
class Value:
    """A value in a fragment."""

    outline: Outline
    node: yaml.Node
    budget: _Budget = field(default_factory=_Budget)

    def __post_init__(self) -> None:
        self.budget.left -= 1
        if self.budget.left < 0:
            raise UnsafeEditError(self.position, f"more than {MOST_VALUES} values, counting those behind aliases")

    @property
    def position(self) -> int:
        """Its line, counted from 0."""
        return self.outline.line(self.node)

    @property
    def text(self) -> str | None:
        """The text of a scalar; None for a mapping or a list."""
        return str(self.node.value) if isinstance(self.node, yaml.ScalarNode) else None

    @property
    def is_null(self) -> bool:
        """Whether it is null."""
        return isinstance(self.node, yaml.ScalarNode) and self.node.tag == "tag:yaml.org,2002:null"

    @property
    def is_mapping(self) -> bool:
        """Whether it has keys."""
        return isinstance(self.node, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        """Whether it has items."""
        return isinstance(self.node, yaml.SequenceNode)

    def entries(self) -> Iterator[tuple[str, Value]]:
        """Yield a mapping's keys and values: first its own, including repeated ones, then inherited ones."""
        own: set[str] = set()
        for node in self._with_sources():
            for key, value in node.value:
                name = str(key.value)
                if key.tag != _MERGE and (node is self.node or name not in own):
                    yield name, Value(self.outline, value, self.budget)
            own |= {str(key.value) for key, _ in node.value}

    def _with_sources(self) -> Iterator[yaml.MappingNode]:
        pending, seen = [self.node], set()
        while pending:
            node = pending.pop(0)
            if not isinstance(node, yaml.MappingNode) or id(node) in seen:
                continue
            seen.add(id(node))
            yield node
            for key, value in node.value:
                if key.tag == _MERGE:
                    pending += value.value if isinstance(value, yaml.SequenceNode) else [value]

    def items(self) -> Iterator[Value]:
        """Yield a list's items."""
        if isinstance(self.node, yaml.SequenceNode):
            for node in self.node.value:
                yield Value(self.outline, node, self.budget)

    def get(self, key: str) -> Value | None:
        """Return a mapping's value at a key, or None."""
        return next((value for name, value in self.entries() if name == key), None)

    def keys(self) -> list[str]:
        """Return the keys of a mapping, or the texts of a list."""
        return [name for name, _ in self.entries()] if self.is_mapping else [item.text or "" for item in self.items()]

    def leaves(self, path: str, depth: int = 0) -> Iterator[tuple[str, Value]]:
        """Yield every scalar in a value with its key path."""
        children: list[tuple[str, Value]] = []
        if depth < _DEEPEST_NAMED:
            children = [(f"{path}.{key}", value) for key, value in self.entries()]
            children += [(path, value) for value in self.items()]
        for name, value in children:
            yield from value.leaves(name, depth + 1)
        if not children:
            yield path, self


def value_of(outline: Outline) -> Value | None:
    """Return the value of a whole fragment; None if it is empty."""
    return Value(outline, outline.root) if outline.root else None
