"""A host's log of a module: what has begun and how it ended, from the lines that the host wrote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

#: The result of what has begun and, as far as the host knows, not ended.
OPEN = "not ended"


def operations(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what was done, in the order of its beginnings: ``begun``, ``ended``, ``seconds``, ``result`` and the rest.

    An earlier version wrote one line, at the end; ``at`` is when the last line of each was written.
    """
    found: dict[object, dict[str, Any]] = {}
    for number, line in enumerate(lines):
        entry = {key: value for key, value in line.items() if key not in {"id", "event"}}
        is_begun = line.get("event") == "begun"
        own = found.setdefault(str(line["id"]) if "id" in line else number, {"begun": None, "ended": None})
        own.setdefault("result", OPEN)
        own.update(entry, **{"begun" if is_begun else "ended": line["at"]})
    return list(found.values())
