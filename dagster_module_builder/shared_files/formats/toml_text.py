"""Reading untrusted TOML."""

from __future__ import annotations

import sys
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def parsed(text: bytes | str) -> dict[str, Any]:
    """Return the values of a text.

    Raises:
        ValueError: It is not TOML, not UTF-8, or nested too deeply.
    """
    try:
        data: dict[str, Any] = tomllib.loads(text.decode() if isinstance(text, bytes) else text)
    except RecursionError:
        raise ValueError("tables or arrays are nested too deeply") from None
    return data
