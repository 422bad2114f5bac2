"""Redacting messages: output of other programs without the secrets that this process knows.

A program, a host or Dagster may quote anything. A message therefore never shows a password in an address, a private
key, or a value that this process read from a settings file, unless the value is known to be harmless.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from dagster_module_builder.disclosure.values import HIDDEN, is_harmless, is_secret_name

#: Shorter values occur in every text by chance.
_SHORTEST = 4
#: Words, names and paths of words are not secret, and hiding them would make messages unreadable.
_ORDINARY = re.compile(
    r"[a-z]+(?:[_-][a-z]+)*|[A-Z][a-z]+|(?:[~.]{0,2}/[a-z._-]{1,40})+/?|[a-z0-9.-]+\.(?:example|local|com|org|net)"
)
_USER_INFO = re.compile(r"(?<=://)[^/\s@'\"]+@")
_QUERY = re.compile(r"(?<=[?&])([\w.-]+)=([^&\s'\"]+)")
_KEY = re.compile(r"-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|\Z)", re.DOTALL)

_secrets: set[str] = set()


def remember(settings: Mapping[str, str | None]) -> None:
    """Hide the values of these settings in all messages, unless they are harmless; a multi-line value line by line."""
    for name, value in settings.items():
        if value and not is_harmless(name, value) and (is_secret_name(name) or not _ORDINARY.fullmatch(value)):
            remember_texts([value, *value.split("\n")])


def remember_texts(texts: Iterable[str]) -> None:
    """Hide these texts in all messages."""
    _secrets.update(text.strip() for text in texts if len(text.strip()) >= _SHORTEST)


def harmless_text(text: str) -> str:
    """Return a message with its secrets replaced by ``…``."""
    text = _KEY.sub(HIDDEN, text)
    for value in sorted((value for value in _secrets if value in text), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", HIDDEN, text)
    text = _USER_INFO.sub(f"{HIDDEN}@", text)
    return _QUERY.sub(lambda match: f"{match[1]}={match[2] if is_harmless(match[1], match[2]) else HIDDEN}", text)


def harmless_data(data: Any) -> Any:
    """Return data for JSON with the secrets in its texts replaced by ``…``."""
    if isinstance(data, str):
        return harmless_text(data)
    if isinstance(data, Mapping):
        return {harmless_data(key): harmless_data(value) for key, value in data.items()}
    return [harmless_data(item) for item in data] if isinstance(data, list | tuple) else data
