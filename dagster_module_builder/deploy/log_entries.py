"""A host's log of a module: operations with their begin and end, from the lines that the host wrote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

#: The result of an operation that has not ended, as far as the host knows.
OPEN = "not ended"


def operations(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the operations in the order in which they began: ``begun``, ``ended``, ``seconds``, ``result`` and more.

    An earlier version wrote one line, at the end; ``at`` is the time of an operation's last line.
    """
    by_id: dict[object, dict[str, Any]] = {}
    for number, line in enumerate(lines):
        entry = {key: value for key, value in line.items() if key not in {"id", "event"}}
        is_begun = line.get("event") == "begun"
        own = by_id.setdefault(str(line["id"]) if "id" in line else number, {"begun": None, "ended": None})
        if line.get("event") == "hooks":
            own["hooks"] = [*own.get("hooks", []), *(line.get("hooks") or [])]
            continue
        own.setdefault("result", OPEN)
        own.update(entry, **{"begun" if is_begun else "ended": line["at"]})
    return list(by_id.values())
