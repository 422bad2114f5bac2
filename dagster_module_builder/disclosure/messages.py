"""What may be said in messages: other programs' words, with the values that this process knows taken out.

A program, a host or Dagster may quote anything. A message therefore shows no password of an address, no private key
and no value that this process read from a file of settings, unless that is known to be harmless.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from dagster_module_builder.disclosure.values import HIDDEN, is_harmless, is_secret_name

#: Shorter values stand in every text by chance.
_SHORTEST = 4
#: A word, a name or a path of words says nothing by itself, and hiding it would make messages unreadable.
_ORDINARY = re.compile(
    r"[a-z]+(?:[_-][a-z]+)*|[A-Z][a-z]+|(?:[~.]{0,2}/[a-z._-]{1,40})+/?|[a-z0-9.-]+\.(?:example|local|com|org|net)"
)
_USER_INFO = re.compile(r"(?<=://)[^/\s@'\"]+@")
_QUERY = re.compile(r"(?<=[?&])([\w.-]+)=([^&\s'\"]+)")
_KEY = re.compile(r"-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|\Z)", re.DOTALL)

_known: set[str] = set()


def remember(settings: Mapping[str, str | None]) -> None:
    """Have these settings' values never said, but for harmless ones; of a value of several lines, no line either."""
    for name, value in settings.items():
        if value and not is_harmless(name, value) and (is_secret_name(name) or not _ORDINARY.fullmatch(value)):
            remember_texts([value, *value.split("\n")])


def remember_texts(texts: Iterable[str]) -> None:
    """Have these texts never said."""
    _known.update(text.strip() for text in texts if len(text.strip()) >= _SHORTEST)


def harmless_text(text: str) -> str:
    """Return a message without what may not be said."""
    text = _KEY.sub(HIDDEN, text)
    for value in sorted((value for value in _known if value in text), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", HIDDEN, text)
    text = _USER_INFO.sub(f"{HIDDEN}@", text)
    return _QUERY.sub(lambda found: f"{found[1]}={found[2] if is_harmless(found[1], found[2]) else HIDDEN}", text)


def harmless_data(data: Any) -> Any:
    """Return data for JSON in which no text says what may not be said."""
    if isinstance(data, str):
        return harmless_text(data)
    if isinstance(data, Mapping):
        return {harmless_data(key): harmless_data(value) for key, value in data.items()}
    return [harmless_data(one) for one in data] if isinstance(data, list | tuple) else data
