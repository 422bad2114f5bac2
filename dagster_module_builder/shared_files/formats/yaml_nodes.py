"""Questions about PyYAML's nodes: merge keys, nulls, scalars."""

from __future__ import annotations

from collections.abc import Iterator

import yaml


def is_merge_key(key: yaml.Node) -> bool:
    """Return whether a key is ``<<``, whose value is inherited from."""
    return bool(key.tag == "tag:yaml.org,2002:merge")


def merge_sources(node: yaml.MappingNode) -> list[yaml.MappingNode]:
    """Return the mappings that a mapping directly inherits from: those of ``<<: *a`` or ``<<: [*a, *b]``."""
    return [source for key, value in node.value if is_merge_key(key) for source in _mappings(value)]


def _mappings(value: yaml.Node) -> list[yaml.MappingNode]:
    candidates = value.value if isinstance(value, yaml.SequenceNode) else [value]
    return [candidate for candidate in candidates if isinstance(candidate, yaml.MappingNode)]


def merged_keys(node: yaml.Node) -> set[str]:
    """Return the keys that a mapping inherits through its merge keys."""
    inherited: set[str] = set()
    for source in merge_sources(node) if isinstance(node, yaml.MappingNode) else ():
        inherited |= {str(key.value) for key, _ in source.value} | merged_keys(source)
    return inherited


def is_empty(node: yaml.Node) -> bool:
    """Return whether a value is null."""
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def repeated_keys(root: yaml.Node | None) -> Iterator[yaml.Node]:
    """Yield every key that its mapping has already: YAML forbids it, and its loaders let the last one count."""
    pending, seen = [root] if root else [], set()
    while pending:
        node = pending.pop()
        if id(node) in seen or isinstance(node, yaml.ScalarNode):
            continue
        seen.add(id(node))
        names: set[tuple[str, str]] = set()
        for part in node.value:
            if not isinstance(part, tuple):
                pending.append(part)
                continue
            key, value = part
            pending.append(value)
            if isinstance(key, yaml.ScalarNode) and not is_merge_key(key):
                if (key.tag, key.value) in names:
                    yield key
                names.add((key.tag, key.value))


def scalars(root: yaml.Node) -> Iterator[yaml.ScalarNode]:
    """Yield every scalar below a node, each once."""
    pending, seen = [root], set()
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            pending.extend(part for pair in node.value for part in pair)
        elif isinstance(node, yaml.SequenceNode):
            pending.extend(node.value)
        elif isinstance(node, yaml.ScalarNode):
            yield node
