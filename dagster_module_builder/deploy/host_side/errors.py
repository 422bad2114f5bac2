"""Why a request was not carried out."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class RefusedError(Exception):
    """The request cannot be carried out; ``code`` is for the client, the message for the user."""

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code, self.details = code, details


class GoneError(Exception):
    """The client is gone."""
