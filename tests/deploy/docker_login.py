"""A user of a registry, and the files that a password would stand in."""

from __future__ import annotations

import base64
from pathlib import Path

USER, PASSWORD = "pipeline", "pa55-of-the-registry"


def as_docker_writes_it(password: str) -> str:
    return base64.b64encode(f"{USER}:{password}".encode()).decode()


def files_with_it(*folders: Path, password: str = PASSWORD) -> list[Path]:
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    shapes = [password.encode(), as_docker_writes_it(password).encode()]
    return [path for path in files if any(shape in _content(path) for shape in shapes)]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        # Another test's, in the memory that all share.
        return b""
