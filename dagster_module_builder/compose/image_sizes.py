"""How large the workspace's images are, and what each module adds to the one that modules share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dagster_module_builder.compose import docker
from dagster_module_builder.programs import engine

#: The last instruction of a module's block in the shared Dockerfile, as either of Docker's builders records it.
_END_OF_MODULE = re.compile(r"PYTHONPATH=\"?/workspace/projects/([^/:\"]+)/src:")
#: The last instruction before the first module's block.
_END_OF_BASE = re.compile(r"DAGSTER_HOME=")


@dataclass(frozen=True)
class ImageSize:
    """An image of the workspace's own.

    Attributes:
        image: Its name.
        size: All of it, in bytes.
        modules: What each module's system packages and requirements add to it, in bytes, by the module's name.
    """

    image: str
    size: int
    modules: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """Say it in megabytes."""
        shares = ", ".join(f"{name} +{_megabytes(size)}" for name, size in self.modules.items())
        return f"{self.image}: {_megabytes(self.size)}" + (f" ({shares})" if shares else "")


def image_sizes(root: Path) -> list[ImageSize]:
    """Return the sizes of the images that were built for a workspace.

    Raises:
        ToolError: Docker does not answer.
    """
    return [
        ImageSize(image, engine.image_size(image), shares(engine.layers(image))) for image in docker.built_images(root)
    ]


def shares(layers: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return what each module adds to an image.

    Args:
        layers: The instruction and the size in bytes of each layer, from the lowest up.
    """
    found: dict[str, int] = {}
    size = 0
    for instruction, added in layers:
        size += added
        if module := _END_OF_MODULE.search(instruction):
            found[module[1]] = size
        if module or _END_OF_BASE.search(instruction):
            size = 0
    return found


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size < 10_000_000 else f"{size / 1e6:.0f} MB"
