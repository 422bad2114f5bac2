"""The files of this machine that an image's build sees, by their paths in the image."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from dagster_module_builder.compose.stack import Reader


@dataclass
class ContextFiles:
    """What was copied or mounted from the build context so far.

    Attributes:
        context: The build context.
        read: Reads a file of this machine.
        copies: Each source in the context with its absolute destination; a folder's ends with a slash.
    """

    context: Path
    read: Reader
    copies: list[tuple[str, str]] = field(default_factory=list)

    def find(self, path: str) -> Path | None:
        """Return the file that is at this path of the image; None if the context has no such file."""
        found = (file for source, target in reversed(self.copies) for file in self._candidates(source, target, path))
        return next((file for file in found if self.read(file) is not None), None)

    def _candidates(self, source: str, target: str, path: str) -> Iterator[Path]:
        place = Path(os.path.normpath(self.context / source.lstrip("/")))
        folder = posixpath.normpath(target)
        if path == folder:
            yield place
        if path.startswith(folder.rstrip("/") + "/"):
            inside = posixpath.relpath(path, folder)
            yield place / inside
            if fnmatch(inside, place.name):
                yield place.with_name(inside)
