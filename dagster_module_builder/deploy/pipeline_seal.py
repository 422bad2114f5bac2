"""Whether the lines of a pipeline were edited by hand: by the SHA-256 above them, which does not cover pins.

Dependabot and Renovate raise the versions of actions that are pinned by a commit, with the version in a comment
(https://docs.github.com/en/code-security/dependabot/working-with-dependabot/keeping-your-actions-up-to-date-with-dependabot).
Such a change does not count as an edit, and a newer pin is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from packaging.version import Version

from dagster_module_builder.shared_files.blocks import digest

_SEAL = re.compile(rb"(?:#|//) sha256 of the lines below: ([0-9a-f]{64})")
_PIN = re.compile(rb"(\s*(?:- )?uses: )([\w.-]+/[\w./-]+)@([0-9a-f]{40} # v(\d+(?:\.\d+)*))\s*")
#: The pins of earlier versions, whose hash covered them.
_HASHED_PINS = {b"actions/checkout": b"11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2"}


def seal(lines: Sequence[bytes]) -> bytes:
    """Return the line with the hash of lines, without a comment sign: ``sha256 of the lines below: e3b0…``."""
    return b"sha256 of the lines below: " + digest(_with_pins(lines, None)).encode()


def is_sealed(lines: Sequence[bytes]) -> bool:
    """Tell whether lines match the hash in the first of them, apart from pins."""
    match = _SEAL.fullmatch(lines[0]) if lines else None
    if match is None:
        return False
    body = lines[1:]
    return match[1].decode() in {digest(_with_pins(body, None)), digest(body), digest(_with_pins(body, _HASHED_PINS))}


def with_newest_pins(lines: Sequence[bytes], before: Sequence[bytes]) -> list[bytes]:
    """Return lines in which each action has the newest pin of these lines and the earlier ones."""
    newest: dict[bytes, tuple[Version, bytes]] = {}
    for match in filter(None, map(_PIN.fullmatch, [*lines, *before])):
        version = Version(match[4].decode())
        if match[2] not in newest or version > newest[match[2]][0]:
            newest[match[2]] = (version, match[3])
    return _with_pins(lines, {action: pin for action, (_, pin) in newest.items()})


def _with_pins(lines: Sequence[bytes], pins: Mapping[bytes, bytes] | None) -> list[bytes]:
    """Return lines with other pins for the actions that are named; without any pins if ``pins`` is None."""
    return [_with_pin(line, pins) for line in lines]


def _with_pin(line: bytes, pins: Mapping[bytes, bytes] | None) -> bytes:
    match = _PIN.fullmatch(line)
    if match is None:
        return line
    pin = b"" if pins is None else pins.get(match[2], match[3])
    return match[1] + match[2] + b"@" + pin
