"""Keyed digests: the registry is committed, and must not let secrets be guessed offline.

A plain hash of a short password is as good as the password. Digests of ``.env`` are therefore keyed (HMAC, RFC 2104)
with a secret of the workspace in a file beside the registry. Only its owner can read the file, and git ignores it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

#: The length of a workspace's secret, in bytes.
KEY_SIZE = 32
#: The prefix of a keyed digest; a plain SHA-256, which earlier versions wrote, has none.
_SEALED = "hmac-sha256:"


@dataclass(frozen=True)
class Seal:
    """Makes keyed digests.

    Args:
        key: The workspace's secret.
    """

    key: bytes

    @property
    def identity(self) -> str:
        """An identifier of the key that reveals nothing about it."""
        return self("the key itself").removeprefix(_SEALED)[:16]

    def __call__(self, digest: str) -> str:
        """Return a digest sealed; a sealed digest stays as it is."""
        if digest.startswith(_SEALED):
            return digest
        return _SEALED + hmac.new(self.key, digest.encode(), hashlib.sha256).hexdigest()

    def line(self, line: bytes) -> bytes:
        """Return the sealed digest of a line (without its ending); a sealed line stays as it is."""
        if line.startswith(_SEALED.encode()):
            return line
        return self(hashlib.sha256(line).hexdigest()).encode()


def new_key() -> bytes:
    """Return a new random key."""
    return secrets.token_bytes(KEY_SIZE)
