"""The files of a repository that say where its Dagster lies; other people's code and data are passed by."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.transactions import module_files

_PASSED_BY = frozenset(
    {
        "__pycache__", "node_modules", "site-packages", "vendor", "third_party", "dbt_packages", "dbt_modules", "venv",
        "tests", "test", "target", "dist", "build", "logs",
    }
)  # fmt: skip
#: Hidden folders that people keep such files in.
_HIDDEN = frozenset({".docker", ".devcontainer", ".dagster_home", ".dagster", ".deploy", ".config"})
_ENDINGS = (".yml", ".yaml", ".toml", ".py")
_LARGEST = 1 << 20


@dataclass
class Repository:
    """A repository.

    Attributes:
        root: Its root, absolute.
    """

    root: Path
    _content: dict[Path, bytes | None] = field(default_factory=dict)

    def read(self, path: Path) -> bytes | None:
        """Return a file's content; None if it does not exist, is no plain file, or lies outside the repository."""
        if path not in self._content:
            try:
                self._content[path] = (
                    module_files.read(self.root, path, _LARGEST) if path.is_relative_to(self.root) else None
                )
            except RefusedError:
                self._content[path] = None
        return self._content[path]

    def text(self, path: Path) -> str:
        """Return a file's text; empty if it cannot be read."""
        return (self.read(path) or b"").decode("utf-8", "replace")

    @cached_property
    def files(self) -> list[Path]:
        """The YAML, TOML and Python files, the ones nearest to the root first."""
        return sorted(_files_below(self.root), key=lambda path: (len(path.parts), str(path)))

    def named(self, pattern: str) -> list[Path]:
        """Return the files whose names match a regular expression."""
        shape = re.compile(pattern)
        return [path for path in self.files if shape.fullmatch(path.name)]

    def inside(self, path: Path) -> Path:
        """Return a path relative to the repository; an outside path stays absolute."""
        return path.relative_to(self.root) if path.is_relative_to(self.root) else path


def _files_below(folder: Path) -> Iterator[Path]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    if any(entry.name == "pyvenv.cfg" for entry in entries):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if not _is_passed_by(entry.name):
                yield from _files_below(Path(entry.path))
        elif entry.name.endswith(_ENDINGS):
            yield Path(entry.path)


def _is_passed_by(name: str) -> bool:
    return name in _PASSED_BY or (name.startswith(".") and name not in _HIDDEN) or name.endswith(".egg-info")
