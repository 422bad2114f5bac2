"""Edits of files, as a person makes them in an editor."""

from __future__ import annotations

from pathlib import Path


def edit(path: Path, old: str, new: str, count: int = -1) -> None:
    """Replace a text that has to be there; line endings stay as they are.

    Args:
        path: The file.
        old: What stands there.
        new: What is to stand there.
        count: How often, from the top; by default everywhere.
    """
    text = path.read_bytes()
    assert old.encode() in text, text
    path.write_bytes(text.replace(old.encode(), new.encode(), count))
