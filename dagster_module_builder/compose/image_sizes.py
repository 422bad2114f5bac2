"""The sizes of the workspace's images, and each module's share in the common one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dagster_module_builder.compose import config
from dagster_module_builder.programs import engine

#: The last instruction of a module's block in the shared Dockerfile, in the records of both of Docker's builders.
_END_OF_MODULE = re.compile(r"PYTHONPATH=\"?/workspace/projects/([^/:\"]+)/src(?=[:\"\s]|$)")
#: The last instruction before the first module's block.
_END_OF_BASE = re.compile(r"DAGSTER_HOME=")


@dataclass(frozen=True)
class ImageSize:
    """The size of an image that the workspace builds.

    Attributes:
        image: Its name.
        size: Its size in bytes.
        modules: The size of each module's system packages and requirements in it, in bytes, by the module's name.
    """

    image: str
    size: int
    modules: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the sizes in megabytes: ``dagster: 900 MB (sales +40.0 MB)``."""
        shares = ", ".join(f"{name} +{_megabytes(size)}" for name, size in self.modules.items())
        return f"{self.image}: {_megabytes(self.size)}" + (f" ({shares})" if shares else "")


def image_sizes(root: Path) -> list[ImageSize]:
    """Return the sizes of the images that were built for a workspace.

    Raises:
        ToolError: Docker does not answer.
    """
    return [
        ImageSize(image, engine.image_size(image), shares(engine.layers(image))) for image in config.built_images(root)
    ]


def shares(layers: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return the size in bytes that each module adds to an image.

    Args:
        layers: The instruction and the size in bytes of each layer, from the lowest to the highest.
    """
    added_by_module: dict[str, int] = {}
    size = 0
    for instruction, added in layers:
        size += added
        base = _END_OF_BASE.search(instruction)
        # The image of a module's own code server sets both in one instruction.
        module = None if base else _END_OF_MODULE.search(instruction)
        if module:
            added_by_module[module[1]] = size
        if module or base:
            size = 0
    return added_by_module


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size < 10_000_000 else f"{size / 1e6:.0f} MB"
