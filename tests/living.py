"""Whether a process lives."""

from __future__ import annotations

from pathlib import Path


def is_alive(number: int) -> bool:
    """Tell whether a process runs; one that has ended and was not waited for does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{number}/status").read_text()
    except OSError:
        return False
