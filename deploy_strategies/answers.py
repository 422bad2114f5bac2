"""What a host says, as this program takes it: one shape for each message, and nothing else."""

from __future__ import annotations

import json
from typing import Any

#: What each message has, and of which type.
_SHAPES: tuple[dict[str, type], ...] = (
    {"progress": str},
    {"ok": bool, "result": dict},
    {"ok": bool, "code": str, "message": str, "details": dict},
)


def parsed(line: bytes) -> dict[str, Any] | None:
    """Return a host's message; None where it has none of the shapes that there are.

    ``{"progress": …}`` tells of a step; ``{"ok": true, "result": …}`` is an answer, and ``{"ok": false, "code": …,
    "message": …, "details": …}`` a failure.
    """
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    fitting = any(
        data.keys() == shape.keys() and all(isinstance(data[name], kind) for name, kind in shape.items())
        for shape in _SHAPES
    )
    return data if fitting and data.get("ok", True) is ("message" not in data) else None
