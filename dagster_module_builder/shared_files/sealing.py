"""What the registry, which is committed, remembers of secrets: nothing that lets them be guessed offline.

A plain hash of a short password is as good as the password. What is remembered of ``.env`` is therefore keyed (HMAC,
RFC 2104) by a secret of the workspace that lies beside the registry: its owner alone can read it, and git ignores it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

#: How many bytes a workspace's secret has.
KEY_SIZE = 32
#: What a digest begins with that was made with a key; a plain SHA-256 of an earlier version has nothing before it.
_SEALED = "hmac-sha256:"


@dataclass(frozen=True)
class Seal:
    """The sealing of files with secrets.

    Args:
        key: The workspace's secret.
    """

    key: bytes

    @property
    def identity(self) -> str:
        """Which key this is; it tells nothing about the key."""
        return self("the key itself").removeprefix(_SEALED)[:16]

    def __call__(self, digest: str) -> str:
        """Return a digest sealed; one that is sealed already stays."""
        if digest.startswith(_SEALED):
            return digest
        return _SEALED + hmac.new(self.key, digest.encode(), hashlib.sha256).hexdigest()

    def line(self, line: bytes) -> bytes:
        """Return what is remembered of a line (without its ending); one that is sealed already stays."""
        if line.startswith(_SEALED.encode()):
            return line
        return self(hashlib.sha256(line).hexdigest()).encode()


def new_key() -> bytes:
    """Return a key that nobody has."""
    return secrets.token_bytes(KEY_SIZE)
