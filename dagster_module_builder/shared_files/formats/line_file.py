"""Files of plain lines (``.env``, ``Dockerfile``): one slot; the bytes need not be UTF-8."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from dagster_module_builder.shared_files.blocks import Block, Layout
from dagster_module_builder.shared_files.formats.outline import KeyPath
from dagster_module_builder.shared_files.formats.shared_file import Contribution, Placement, Scaffold


class LineFile:
    """A shared file without keys.

    Args:
        name: The file's name.
        text_lines: Returns the lines inside multi-line texts.
        position: Returns the own line before which new blocks go.
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
        """Return the lines inside multi-line texts, where a marker is not a comment."""
        return self._text_lines(own)

    def slots_of(self, layout: Layout, blocks: Collection[tuple[int, Block]]) -> list[KeyPath]:
        """Return the slot of each of these blocks, which come with their positions."""
        del layout
        return [()] * len(blocks)

    def prepare(self, layout: Layout, path: KeyPath, created: Collection[KeyPath]) -> dict[KeyPath, Scaffold]:
        """Do nothing: there is always room between lines."""
        del layout, path, created
        return {}

    def clear(self, layout: Layout, path: KeyPath, scaffold: Scaffold) -> None:
        """Do nothing: ``prepare`` changed nothing."""
        del layout, path, scaffold

    def placements(self, layout: Layout, contributions: Sequence[Contribution]) -> list[Placement]:
        """Return the placement of each contribution."""
        position = self._position(layout.own)
        return [Placement(position, 0, contribution.mapping or ()) for contribution in contributions]
