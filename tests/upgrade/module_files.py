"""The files of modules that earlier templates made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.template.rendering import TEMPLATE

MODULE_FILES = "{{cookiecutter.name}}"
TODAY = (TEMPLATE / "VERSION").read_text("utf-8").strip()
Change = Callable[[Path], object]


def files_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
