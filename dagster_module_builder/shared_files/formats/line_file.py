"""Files of plain lines (``.env``, ``Dockerfile``): one slot, and bytes that need not be UTF-8."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from dagster_module_builder.shared_files.blocks import Block, Layout
from dagster_module_builder.shared_files.formats.outline import KeyPath
from dagster_module_builder.shared_files.formats.shared_file import Contribution, Place, Scaffold


class LineFile:
    """A shared file without keys.

    Args:
        name: The file's name.
        text_lines: Says which lines lie inside a text of several lines.
        position: Says before which own line new blocks go.
    """

    def __init__(
        self,
        name: str,
        text_lines: Callable[[Sequence[bytes]], set[int]],
        position: Callable[[Sequence[bytes]], int] = len,
    ) -> None:
        self.name = name
        self._text_lines = text_lines
        self._position = position

    def text_lines(self, own: Sequence[bytes]) -> set[int]:
        """Return the lines inside a text of several lines, where a marker is no comment."""
        return self._text_lines(own)

    def slots_of(self, layout: Layout, blocks: Collection[tuple[int, Block]]) -> list[KeyPath]:
        """Return the slot that each of these blocks (with its position) stands in."""
        del layout
        return [()] * len(blocks)

    def prepare(self, layout: Layout, path: KeyPath, made: Collection[KeyPath]) -> dict[KeyPath, Scaffold]:
        """There is always room between lines."""
        del layout, path, made
        return {}

    def clear(self, layout: Layout, path: KeyPath, scaffold: Scaffold) -> None:
        """Nothing was made, so nothing is taken back."""
        del layout, path, scaffold

    def places(self, layout: Layout, contributions: Sequence[Contribution]) -> list[Place]:
        """Return where each contribution goes."""
        position = self._position(layout.own)
        return [Place(position, 0, contribution.mapping or ()) for contribution in contributions]
