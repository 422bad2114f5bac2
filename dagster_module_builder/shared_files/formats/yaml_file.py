"""Slots in YAML files: found by key path, created if they are missing, removed with their last block."""

from __future__ import annotations

import codecs
from collections.abc import Collection, Sequence

import yaml

from dagster_module_builder.shared_files.blocks import Block, Layout, bare, ending_near
from dagster_module_builder.shared_files.formats.outline import Key, KeyPath, Outline, UnsafeEditError, outline_of
from dagster_module_builder.shared_files.formats.shared_file import Contribution, Placement, Scaffold
from dagster_module_builder.shared_files.formats.yaml_nodes import is_empty


class YamlFile:
    """A shared YAML file: slots are mappings and lists, found by their key path."""

    def __init__(self, name: str) -> None:
        self.name = name

    def text_lines(self, own: Sequence[bytes]) -> set[int]:
        """Return the lines inside multi-line texts, where a marker is not a comment."""
        return outline_of(own).scalar_lines()

    def slots_of(self, layout: Layout, blocks: Collection[tuple[int, Block]]) -> list[KeyPath]:
        """Return the slot of each of these blocks, which come with their positions."""
        if not blocks:
            return []
        outline = outline_of(layout.own)
        return [outline.slot_at(at, block.indent, items=_has_items(block)) for at, block in blocks]

    def prepare(self, layout: Layout, path: KeyPath, created: Collection[KeyPath]) -> dict[KeyPath, Scaffold]:
        """Make room for blocks in a slot; ``created`` are the slots whose keys were created for blocks."""
        outline = outline_of(layout.own)
        refuse_shared(outline, path)
        above: dict[KeyPath, Scaffold] = {}
        if _is_nothing(outline, path[:-1]) or _is_flow(outline, path[:-1]):
            above = self.prepare(layout, path[:-1], created)
            outline = outline_of(layout.own)
        scaffold = _make_room(layout, outline, path, created)
        return above if scaffold is None else {**above, path: scaffold}

    def clear(self, layout: Layout, path: KeyPath, scaffold: Scaffold) -> None:
        """Undo a slot's scaffold, unless the owner has changed it since."""
        key = outline_of(layout.own).find(path)
        if key is None or (not scaffold.before and not is_empty(key.value)):
            return
        count = len(scaffold.after)
        current = tuple(layout.own[key.line : key.line + count])
        if bare(current) == bare(scaffold.after):
            ending = None if current == scaffold.after else ending_near(layout.own, key.line + 1)
            layout.replace_own(
                key.line, count, [line if ending is None else line.rstrip(b"\r\n") + ending for line in scaffold.before]
            )

    def placements(self, layout: Layout, contributions: Sequence[Contribution]) -> list[Placement]:
        """Return the placement of each contribution."""
        outline = outline_of(layout.own)
        outline.refuse_repeated()
        return [_placement(outline, contribution) for contribution in contributions]


def _is_nothing(outline: Outline, path: KeyPath) -> bool:
    key = outline.find(path)
    return bool(path) and (key is None or is_empty(key.value))


def _is_flow(outline: Outline, path: KeyPath) -> bool:
    key = outline.find(path)
    return len(path) > 1 and key is not None and isinstance(key.value, yaml.MappingNode) and bool(key.value.flow_style)


def _make_room(layout: Layout, outline: Outline, path: KeyPath, created: Collection[KeyPath]) -> Scaffold | None:
    key = outline.find(path)
    if key is None:
        return _create(layout, outline, path, created)
    if isinstance(key.value, yaml.CollectionNode) and key.value.flow_style:
        return _expand(layout, outline, key, key.value)
    if is_empty(key.value):
        return _delete_null(layout, outline, key) if key.value.value else None
    if isinstance(key.value, yaml.ScalarNode):
        raise UnsafeEditError(key.line, f"'{'.'.join(path)}' must be a mapping or a list, not a text")
    return None


def _has_items(block: Block) -> bool:
    first = next((line for line in block.body if line.strip() and not line.lstrip().startswith(b"#")), b"")
    return first.startswith((b"- ", b"-\t")) or first == b"-"


def refuse_shared(outline: Outline, path: KeyPath) -> None:
    """Refuse a slot that other parts of the file have, too, through an alias or a merge key.

    Raises:
        UnsafeEditError: With the line that shares it.
    """
    for depth in range(1, len(path) + 1):
        key = outline.find(path[:depth])
        if key and outline.is_shared(key):
            raise UnsafeEditError(
                key.line, f"'{'.'.join(key.path)}' is an alias, or is used elsewhere through one: write it out"
            )
        if key is None and outline.is_inherited(path[:depth]):
            merge_key = outline.find((*path[: depth - 1], "<<"))
            raise UnsafeEditError(
                merge_key.line if merge_key else 0,
                f"'{'.'.join(path[:depth])}' is inherited through a merge key (<<), so a change would affect others: "
                f"copy what it inherits into a separate '{path[depth - 1]}:'",
            )


def _create(layout: Layout, outline: Outline, path: KeyPath, created: Collection[KeyPath]) -> Scaffold:
    position, column = _end_of_parent(outline, path)
    position = _before_later_siblings(outline, position, path, created)
    line = b" " * column + path[-1].encode() + b":" + ending_near(layout.own, position)
    layout.replace_own(position, 0, [line], inner=column)
    return Scaffold((), (line,))


def _end_of_parent(outline: Outline, path: KeyPath) -> tuple[int, int]:
    if len(path) == 1:
        if outline.root is not None and not is_empty(outline.root) and not _is_block_mapping(outline.root):
            raise UnsafeEditError(0, "the file is not a mapping in block style")
        return outline.end_of_document(), 0
    parent = outline.find(path[:-1])
    if parent and is_empty(parent.value):
        return outline.after(parent.line, parent.column + 1), parent.column + outline.step
    if parent is None or not _is_block_mapping(parent.value):
        raise UnsafeEditError(parent.line if parent else 0, f"'{'.'.join(path[:-1])}' is not a mapping in block style")
    column = outline.column(parent.value)
    return outline.after(outline.last_line(parent.value), column), column


def _is_block_mapping(node: yaml.Node) -> bool:
    return isinstance(node, yaml.MappingNode) and not node.flow_style and bool(node.value)


def _before_later_siblings(outline: Outline, position: int, path: KeyPath, created: Collection[KeyPath]) -> int:
    # Created keys are sorted by name, so the result does not depend on the order in which modules were added.
    later = [
        key.line
        for key in outline.keys
        if key.path in created and key.path[:-1] == path[:-1] and key.path[-1] > path[-1] and key.line < position
    ]
    return min(later, default=position)


def _expand(layout: Layout, outline: Outline, key: Key, node: yaml.CollectionNode) -> Scaffold:
    """Rewrite a collection in flow style (``[a, b]``) in block style."""
    nested_only = len(key.path) > 1
    if (node.value and not nested_only) or not key.line == outline.line(node) == outline.last_line(node):
        raise UnsafeEditError(key.line, f"'{'.'.join(key.path)}' is written in flow style: write it in block style")
    before = layout.own[key.line]
    head, tail = _around(outline, node)
    if not head.strip().endswith(":"):
        raise UnsafeEditError(key.line, f"'{'.'.join(key.path)}' has an anchor or a tag: write it in block style")
    ending = ending_near(layout.own, key.line + 1)
    margin = " " * (key.column + outline.step)
    first = (head.rstrip() + (f"  {tail}" if tail else "")).encode() + (ending if before.endswith(b"\n") else b"")
    if node.value and not before.endswith(b"\n"):
        first += ending
    after = [first, *((margin + item).encode() + ending for item in _items(outline, node))]
    layout.replace_own(key.line, 1, after)
    return Scaffold((before,), tuple(after))


def _around(outline: Outline, node: yaml.Node) -> tuple[str, str]:
    line_start = node.start_mark.index - outline.column(node)
    line_end = outline.text.find("\n", node.end_mark.index)
    tail = outline.text[node.end_mark.index : line_end if line_end >= 0 else None]
    # The byte-order mark is not part of the text.
    mark = "\ufeff" if line_start == 0 and outline.own[0].startswith(codecs.BOM_UTF8) else ""
    return mark + outline.text[line_start : node.start_mark.index], tail.strip()


def _items(outline: Outline, node: yaml.CollectionNode) -> list[str]:
    def source(first: yaml.Node, last: yaml.Node) -> str:
        return outline.text[first.start_mark.index : last.end_mark.index].strip()

    if isinstance(node, yaml.MappingNode):
        return [source(key, value) if not is_empty(value) else f"{source(key, key)}:" for key, value in node.value]
    return [f"- {source(item, item)}" for item in node.value]


def _delete_null(layout: Layout, outline: Outline, key: Key) -> Scaffold:
    """Delete an explicit ``null`` or ``~``, so that a block fits below the key."""
    if outline.line(key.value) != key.line:
        raise UnsafeEditError(
            outline.line(key.value), f"a null for '{'.'.join(key.path)}' on a separate line: delete it"
        )
    before = layout.own[key.line]
    head, tail = _around(outline, key.value)
    ending = before[len(before.rstrip(b"\r\n")) :]
    after = (head.rstrip() + (f"  {tail}" if tail else "")).encode() + ending
    layout.replace_own(key.line, 1, [after])
    return Scaffold((before,), (after,))


def _placement(outline: Outline, contribution: Contribution) -> Placement:
    key = outline.find(contribution.path)
    if key is None:
        raise UnsafeEditError(0, f"there is no '{'.'.join(contribution.path)}'")
    node = key.value
    if isinstance(node, yaml.CollectionNode) and node.value:
        column = outline.column(node)
        body = contribution.sequence if isinstance(node, yaml.SequenceNode) else contribution.mapping
        below = column if column > key.column else column + 1
        position = outline.after(outline.last_line(node), below)
    else:
        column = key.column + outline.step
        body = contribution.mapping if contribution.mapping is not None else contribution.sequence
        position = outline.after(key.line, key.column + 1)
    if body is None:
        shape = "list" if isinstance(node, yaml.SequenceNode) else "mapping"
        raise UnsafeEditError(
            key.line, f"'{'.'.join(key.path)}' is a {shape}, and the module's fragment does not fit it"
        )
    return Placement(position, column, body)
