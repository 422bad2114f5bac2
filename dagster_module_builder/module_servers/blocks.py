"""What the blocks of a shared file say: which lines are a module's, and which are the owner's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_MARKER = re.compile(r"[ \t]*# (BEGIN|END): (\w+)[ \t]*")


@dataclass(frozen=True)
class Shared:
    """A shared file, taken apart.

    Attributes:
        own: The lines outside all blocks.
        blocks: The lines of each block, by marker.
    """

    own: str = ""
    blocks: Mapping[str, str] = field(default_factory=dict)


def taken_apart(text: str) -> Shared:
    """Return a file's lines by whose they are: a line of a block that does not end belongs to that block."""
    own: list[str] = []
    blocks: dict[str, list[str]] = {}
    lines = own
    for line in text.split("\n"):
        marker = _MARKER.fullmatch(line.rstrip("\r"))
        if marker is None:
            lines.append(line)
        else:
            lines = blocks.setdefault(marker[2], []) if marker[1] == "BEGIN" else own
    return Shared("\n".join(own), {name: "\n".join(body) for name, body in blocks.items()})
