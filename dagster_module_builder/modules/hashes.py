"""The hashes of ``constraints.txt``, in ``constraints.lock`` beside it: uv installs no other file of a pinned release.

pip refuses constraints with hashes wherever a requirement is not pinned; so what people and pip read has none, and the
two are put together for uv. A pin that only ``constraints.txt`` has is its owner's, and comes without hashes. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

#: The file with the hashes, beside ``constraints.txt``.
HASHES = "constraints.lock"
#: What makes it, in the folder of both.
REFRESH = (
    "uv pip compile --universal --python-version 3.10 --no-deps --generate-hashes --no-header --no-annotate "
    f"constraints.txt -o {HASHES}"
)
_CONTINUED = " \\"


def pins(text: str) -> list[str]:
    r"""Return the pins of constraints: ``"a==1 \\\n    --hash=sha256:0\n" -> ["a==1"]``."""
    return [line.removesuffix(_CONTINUED) for line in text.splitlines() if line[:1].isalnum()]


def with_hashes(constraints: str, lock: str) -> str:
    """Return constraints, each pin with the hashes that the lock has of this very pin.

    Args:
        constraints: The text of ``constraints.txt``.
        lock: The text of ``constraints.lock``; empty where there is none.
    """
    hashes = _hashes(lock)
    lines = constraints.splitlines()
    if hashes.keys().isdisjoint(lines):
        return constraints
    return "".join(f"{line}{hashes.get(line, '')}\n" for line in lines)


def without_hashes(constraints: str, lock: str) -> list[str]:
    """Return the pins of which any file would be installed."""
    hashes = _hashes(lock)
    return [
        line
        for line in constraints.splitlines()
        if line[:1].isalnum() and not line.endswith("\\") and line not in hashes
    ]


def shown(lacking: Sequence[str]) -> str:
    """Return pins for people: the first three, and how many more there are."""
    return ", ".join(lacking[:3]) + (f" and {len(lacking) - 3} more" if lacking[3:] else "")


def _hashes(lock: str) -> dict[str, str]:
    r"""Return what follows each pin: ``{"a==1": " \\\n    --hash=sha256:0"}``."""
    found: dict[str, str] = {}
    pin = ""
    for line in lock.splitlines():
        if line.startswith(" ") and pin:
            found[pin] = f"{found.get(pin, _CONTINUED)}\n{line}"
        else:
            pin = line.removesuffix(_CONTINUED)
    return found
