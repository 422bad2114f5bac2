"""The hashes of constraints, for pip, which accepts hashes only if every requirement is pinned."""

from __future__ import annotations

import os
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_HASH = re.compile(r"(?:\s|\\\n)+--hash=\S+")


def without_hashes(constraints: str) -> str:
    r"""Return constraints that any pip accepts: ``"a==1 \\\n    --hash=sha256:0\n" -> "a==1\n"``."""
    return _HASH.sub("", constraints)


def locked(constraints: str, files: Iterable[str]) -> str:
    """Return the constraints that have hashes and of whose projects a file was downloaded, as requirements.

    Args:
        constraints: The constraints; a pin may have several lines.
        files: The names of the downloaded wheels and source archives.
    """
    names = {_project(file) for file in files}
    pins = re.split(r"(?<=\n)(?=\S)", constraints)
    return "".join(pin for pin in pins if "--hash=" in pin and _normalized(_first_name(pin)) in names)


def _project(file: str) -> str:
    """Return the name of a file's project: ``"async_timeout-5.0.1-py3-none-any.whl" -> "async-timeout"``."""
    name = os.path.basename(file)
    return _normalized(name.partition("-")[0] if name.endswith(".whl") else name.rpartition("-")[0])


def _first_name(pin: str) -> str:
    name = re.match(r"[\w.-]+", pin)
    return name[0] if name else ""


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
